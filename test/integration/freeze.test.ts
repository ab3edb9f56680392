import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import { gone, GuardBench, minuteMs, names, smallRules, written } from '../support/guard-bench.ts';
import { strangeAgentId, strangePublicKey } from '../support/sealed-store-fixture.ts';

let bench: GuardBench;

beforeEach(async () => {
  bench = await GuardBench.open();
});

afterEach(async () => {
  await bench.dispose();
});

describe('a freeze', () => {
  const all = names(40);

  beforeEach(async () => {
    await bench.feed.send(written(all));
    await bench.feed.complete();
    await bench.pass(48);
    await bench.feed.send(gone(all.slice(0, 20)));
    expect(await bench.check()).toBe(true);
  });

  it('holds over a restart and lost databases, with its alarm and its beginning', async () => {
    const before = bench.guards.hits(bench.agent);
    await bench.pass(24 * 10);
    const then = bench.guards.hits(bench.agent);
    await bench.copies.close();
    fs.rmSync(path.join(bench.directory, 'home'), { recursive: true });
    await bench.openAll();
    expect(bench.alarms.list()).toEqual([]);
    expect(await bench.check()).toBe(true);
    expect(bench.guards.hits(bench.agent)).toEqual(then);
    expect(then[0]?.since).toBe(before[0]?.since);
    expect(bench.alarms.list()).toMatchObject([{ code: 'MASS_CHANGE' }]);
  });

  it('ends with a release, which says and writes down what was released, and the same facts do not freeze again', async () => {
    const hits = bench.guards.hits(bench.agent);
    bench.now += minuteMs;
    expect(bench.guards.release(bench.agent)).toEqual(hits);
    expect(bench.alarms.list()).toEqual([]);
    expect(fs.readFileSync(bench.freezeFile, 'utf8')).toContain(
      JSON.stringify({ at: new Date(bench.now).toISOString(), hits }),
    );
    expect(await bench.check()).toBe(false);
    bench.openGuards();
    await bench.pass(24 * 3);
    expect(bench.codes()).toEqual([]);
    expect(bench.guards.release(bench.agent)).toEqual([]);
  });

  it('comes again by the same guard for what happens after the release, and by another one', async () => {
    bench.guards.release(bench.agent);
    bench.now += minuteMs;
    await bench.feed.send(gone(all.slice(20, 24)));
    expect(await bench.check()).toBe(false);
    await bench.feed.send(gone(all.slice(24, 25)));
    expect(await bench.check()).toBe(true);
    expect(bench.guards.hits(bench.agent)[0]?.what).toMatch(/^of the 20 files .* 5 \(/);
    bench.guards.release(bench.agent);
    const packs = await bench.dailyDumps(1);
    await bench.dump(packs, [], { recipients: ['EEEEEEEEEEEEEEEE'] });
    await bench.check();
    expect(bench.codes()).toEqual(['RECIPIENTS_CHANGED']);
  });

  it('gets every other hit beside the first, and a release ends all', async () => {
    const packs = await bench.dailyDumps(4);
    await bench.dump(packs.slice(0, 2), [], { recipients: ['EEEEEEEEEEEEEEEE'] });
    await bench.check();
    expect(bench.codes().sort()).toEqual(['DUMP_SHRUNK', 'MASS_CHANGE', 'RECIPIENTS_CHANGED']);
    expect(bench.alarms.list()).toHaveLength(3);
    expect(bench.guards.release(bench.agent)).toHaveLength(3);
    expect(await bench.check()).toBe(false);
    await bench.dump(packs.slice(0, 2), [], { recipients: ['EEEEEEEEEEEEEEEE'] });
    await bench.pass(72);
    expect(bench.codes()).toEqual([]);
  });

  it('does not come again by a look that had begun before the release', async () => {
    const foldersOf = bench.copies.foldersOf.bind(bench.copies);
    bench.copies.foldersOf = (agentId) => {
      bench.copies.foldersOf = foldersOf;
      queueMicrotask(() => bench.guards.release(agentId));
      return foldersOf(agentId);
    };
    expect(await bench.check()).toBe(false);
    expect(bench.alarms.list()).toEqual([]);
  });

  it('is of one agent only', async () => {
    bench.copies.learnKey(strangeAgentId, strangePublicKey.export({ type: 'spki', format: 'der' }));
    await bench.copies.open(strangeAgentId, 'media', 'mirror');
    expect(await bench.guards.check(strangeAgentId)).toBe(false);
    expect(bench.guards.release(strangeAgentId)).toEqual([]);
    expect(bench.guards.isFrozen(bench.agent)).toBe(true);
  });

  it.each<[string, (file: string) => void]>([
    [
      'a bit flipped',
      (file) => fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(/"at":\d/, '"at":0')),
    ],
    ['cut off', (file) => fs.truncateSync(file, 40)],
    ['empty', (file) => fs.truncateSync(file, 0)],
    [
      'no file at all',
      (file) => {
        fs.rmSync(file);
        fs.mkdirSync(file);
      },
    ],
  ])('is believed where its file is damaged: %s', async (_, damage) => {
    bench.guards.release(bench.agent);
    damage(bench.freezeFile);
    bench.openGuards({ ...smallRules, changes: null });
    expect(await bench.check()).toBe(true);
    expect(bench.codes()).toEqual(['FREEZE_UNKNOWN']);
    expect(bench.alarms.list()).toMatchObject([{ code: 'FREEZE_UNKNOWN' }]);
    if (fs.statSync(bench.freezeFile).isDirectory()) fs.rmdirSync(bench.freezeFile);
    else bench.guards.release(bench.agent);
    expect(await bench.check()).toBe(false);
    expect(bench.alarms.list()).toEqual([]);
  });
});

it('is frozen at once also where that cannot be written, and written as soon as it can be', async () => {
  await bench.feed.send(written(names(40)));
  await bench.pass(48);
  await bench.feed.send(gone(names(40)));
  const blocked = path.join(path.dirname(bench.freezeFile), `._freeze.json.${process.pid}.tmp`);
  fs.mkdirSync(path.join(blocked, 'x'), { recursive: true });
  expect(await bench.check()).toBe(true);
  expect(bench.alarmCodes()).toEqual(['MASS_CHANGE', 'DISK_FAILED']);
  expect(fs.existsSync(bench.freezeFile)).toBe(false);
  await bench.pass(72);
  expect([bench.guards.isFrozen(bench.agent), bench.codes()]).toEqual([true, ['MASS_CHANGE']]);
  fs.rmSync(blocked, { recursive: true });
  expect(await bench.check()).toBe(true);
  expect(bench.alarmCodes()).toEqual(['MASS_CHANGE']);
  bench.openGuards({ ...smallRules, changes: null });
  expect(await bench.check()).toBe(true);
});

it('lets nothing expire of an agent that it cannot judge, and judges its other folders all the same', async () => {
  await bench.feed.send(written(names(40)));
  await bench.dailyDumps(1);
  await bench.pass(48);
  const broken = {
    kind: 'sealed',
    changedAt: () => bench.now,
    listVersions: () => explode(),
  };
  const foldersOf = bench.copies.foldersOf.bind(bench.copies);
  bench.copies.foldersOf = (agentId) => [['broken', broken as unknown as SealedStore], ...foldersOf(agentId)];
  expect(await bench.check()).toBe(true);
  expect(bench.alarms.list()).toMatchObject([{ code: 'INTERNAL' }]);
  expect(bench.codes()).toEqual([]);
  await bench.feed.send(gone(names(40)));
  await bench.check();
  expect(bench.codes()).toEqual(['MASS_CHANGE']);
  bench.copies.foldersOf = foldersOf;
  await bench.check();
  expect(bench.alarmCodes()).toEqual(['MASS_CHANGE']);
});

it('judges anew a folder that was opened again while it was looked at', async () => {
  const closed = { kind: 'sealed', changedAt: () => explode() } as unknown as SealedStore;
  const foldersOf = bench.copies.foldersOf.bind(bench.copies);
  bench.copies.foldersOf = () => {
    bench.copies.foldersOf = foldersOf;
    return [['database', closed]];
  };
  expect([await bench.check(), bench.alarms.list()]).toEqual([false, []]);
});

function explode(): never {
  throw new Error('the disk is on fire');
}
