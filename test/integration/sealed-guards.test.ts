import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultGuardRules, type GuardRules } from '../../receiver/guard/guard-rules.ts';
import { GuardBench, kib, smallRules } from '../support/guard-bench.ts';

let bench: GuardBench;

beforeEach(async () => {
  bench = await GuardBench.open();
});

afterEach(async () => {
  await bench.dispose();
});

describe('a sealed folder', () => {
  it('freezes its agent when a dump is much smaller than its predecessors', async () => {
    const all = await bench.dailyDumps(4);
    await bench.dump(all.slice(0, 4), []);
    expect(await bench.check()).toBe(true);
    expect(bench.guards.hits(bench.agent)).toMatchObject([{ folder: 'database', code: 'DUMP_SHRUNK' }]);
    expect(bench.guards.hits(bench.agent)[0]?.what).toBe(
      'version 6 of folder database has 4 KiB, where 9.1 KiB are usual',
    );
  });

  it('freezes it when far more packs come than usual, also without a version that names them', async () => {
    const all = await bench.dailyDumps(4);
    bench.guards.noteDurable(bench.agent, 'database', bench.database);
    await bench.guards.settled();
    await bench.dumps.send([bench.pack(15 * kib)]);
    expect(await bench.check()).toBe(false);
    await bench.dumps.send([bench.pack(5 * kib)]);
    bench.guards.noteDurable(bench.agent, 'database', bench.database);
    await bench.guards.settled();
    expect(bench.codes()).toEqual(['PACKS_SURGED']);
    expect(bench.guards.hits(bench.agent)[0]?.what).toMatch(
      /^20\.2 KiB of new packs of folder database came since .*, where 102 B in 24 hours are usual and a whole dump has 9\.1 KiB$/,
    );
    expect(all).toHaveLength(10);
    bench.guards.release(bench.agent);
    await bench.pass(48);
    expect(bench.codes()).toEqual([]);
  });

  it('takes for usual what comes in a whole day, not at once', async () => {
    const all = await bench.dailyDumps(1);
    for (let time = 0; time < 6 * 4; time += 1) {
      await bench.pass(6);
      all.push(bench.pack(500));
      await bench.dump(all, all.slice(-1));
    }
    await bench.dump([bench.pack(45 * kib)]);
    await bench.check();
    expect(bench.guards.hits(bench.agent)[0]?.what).toContain('where 1.95 KiB in 24 hours are usual');
  });

  it('freezes it when a dump is sealed to other keys, until a person accepts them', async () => {
    const all = await bench.dailyDumps(2);
    await bench.dump(all, [], { recipients: ['0123456789ABCDEF', 'EEEEEEEEEEEEEEEE'] });
    bench.guards.noteDurable(bench.agent, 'database', bench.database);
    await bench.guards.settled();
    expect(bench.alarms.list()).toMatchObject([{ code: 'RECIPIENTS_CHANGED' }]);
    expect(bench.alarms.list()[0]?.message).toContain('since version 4: EEEEEEEEEEEEEEEE came');
    await bench.pass(24 * 20);
    expect(bench.codes()).toEqual(['RECIPIENTS_CHANGED']);
    bench.guards.release(bench.agent);
    await bench.dump(all, [], { recipients: ['EEEEEEEEEEEEEEEE', '0123456789ABCDEF'] });
    expect(await bench.check()).toBe(false);
    await bench.dump(all, [], { recipients: ['EEEEEEEEEEEEEEEE'] });
    expect(await bench.check()).toBe(true);
  });

  it.each<[keyof GuardRules, Partial<GuardRules>]>([
    ['shrinking', { shrinking: null }],
    ['surge', { surge: null }],
    ['recipients', { recipients: false }],
  ])('has no opinion on what is switched off: %s', async (_, off) => {
    await bench.dailyDumps(4);
    await bench.dump([bench.pack(30 * kib)], undefined, { recipients: ['EEEEEEEEEEEEEEEE'] });
    await bench.dump([bench.pack(100)], undefined, { recipients: ['EEEEEEEEEEEEEEEE'] });
    bench.openGuards({ ...smallRules, ...off });
    await bench.check();
    expect(bench.codes()).toHaveLength(2);
  });
});

describe('ordinary life of a sealed folder', () => {
  it('is a first dump, one more of it, and hourly ones that grow', async () => {
    const all = [bench.pack(10 * kib)];
    await bench.dump(all);
    await bench.dump([bench.pack(11 * kib)]);
    await bench.check();
    for (let hour = 0; hour < 24 * 5; hour += 1) {
      await bench.pass(1);
      const one = bench.pack(50);
      all.push(one);
      await bench.dump(all, [one]);
    }
    await bench.check();
    expect(bench.codes()).toEqual([]);
  });

  it('is an upgrade that rewrites every row, and an agent that begins a new epoch', async () => {
    await bench.dailyDumps(5);
    await bench.dump([bench.pack(8 * kib)]);
    await bench.pass(24);
    await bench.dump([bench.pack(4 * kib)], undefined, { epoch: '00000000000000bb' });
    await bench.pass(24);
    expect(bench.codes()).toEqual([]);
  });

  it('is the folder of secrets, of a few hundred bytes', async () => {
    bench.openGuards(defaultGuardRules);
    await bench.dailyDumps(5, 900);
    await bench.dump([bench.pack(100)]);
    await bench.pass(24);
    expect(bench.codes()).toEqual([]);
  });

  it('is a dump that comes once a week', async () => {
    for (let week = 0; week < 5; week += 1) {
      await bench.dump([bench.pack(10 * kib + week)]);
      await bench.pass(24 * 7);
    }
    expect(bench.codes()).toEqual([]);
  });
});
