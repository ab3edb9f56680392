import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Device, type Agent } from '../support/device.ts';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { ShiftedClock } from '../support/shifted-clock.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { Workbench } from '../support/workbench.ts';

const hourMs = 3_600_000;

/** A zone off the full hour where no day begins within the next hour or began within the last three. */
function zoneByDay(): { name: string; offset: string; aheadMs: number } {
  const kolkata = { name: 'Asia/Kolkata', offset: '+05:30', aheadMs: 5.5 * hourMs };
  const hour = new Date(Date.now() + kolkata.aheadMs).getUTCHours();
  const isByDay = hour >= 3 && hour < 23;
  return isByDay ? kolkata : { name: 'Pacific/Marquesas', offset: '-09:30', aheadMs: -9.5 * hourMs };
}

describe('a receiver that has run for days', () => {
  let bench: Workbench;
  let clock: ShiftedClock;

  beforeAll(async () => {
    bench = await Workbench.create('days', { receiverListens: true });
    clock = new ShiftedClock(path.join(bench.directory, 'clock'));
    for (const device of [bench.agent, bench.receiver]) device.env = clock.env;
    MastodonTree.make(bench.source, { seed: 'days', files: 40 });
    // What is taken first, is taken five hours ago.
    clock.set(-5 * hourMs);
    fs.writeFileSync(path.join(bench.source, 'notes'), 'of five hours ago');
    await bench.startPaired();
    await bench.settled();
    clock.set(0);
    fs.writeFileSync(path.join(bench.source, 'notes'), 'of now');
    await bench.settled();
  });

  afterAll(async () => {
    await bench.dispose();
  });

  const restorerAt = (name: string, env: Record<string, string>): Agent => {
    const restorer: Agent = new Device('agent', path.join(bench.directory, name));
    restorer.env = env;
    return restorer;
  };
  const invite = async (): Promise<string> =>
    await bench.receiver.invite(['--role', 'restore', '--agent', bench.agentId]);

  it('gives back the state of any moment, however it is written', async () => {
    const zone = zoneByDay();
    const restorer = restorerAt('historian', { TZ: zone.name });
    const from = await invite();
    const then = new Date(Date.now() - 2 * hourMs);
    const iso = then.toISOString();
    // As the clock on the wall shows it there.
    const wall = new Date(then.getTime() + zone.aheadMs).toISOString().slice(0, 16);
    const [, clockTime] = wall.split('T');
    const cases: [string, string][] = [
      [iso, 'of five hours ago'],
      [iso.replaceAll(/[-:]|\.\d+/g, ''), 'of five hours ago'],
      [wall, 'of five hours ago'],
      [`${wall}${zone.offset}`, 'of five hours ago'],
      [`today ${clockTime}`, 'of five hours ago'],
      [`@${Math.floor(then.getTime() / 1000)}`, 'of five hours ago'],
      ['2 hours ago', 'of five hours ago'],
      ['an hour and 30 minutes ago', 'of five hours ago'],
      ['latest', 'of now'],
      ['now', 'of now'],
    ];
    const versions = fs.readdirSync(bench.versions).filter((name) => name.startsWith('notes~'));
    expect(versions).toHaveLength(1);
    cases.push([versions[0]?.slice('notes'.length) ?? '', 'of five hours ago']);
    for (const [index, [at, expected]] of cases.entries()) {
      const to = path.join(bench.directory, 'moments', String(index));
      await restorer.must(['restore', '--from', from, '--to', to, '--path', '/notes', '--at', at]);
      expect(fs.readFileSync(path.join(to, 'media/notes'), 'utf8'), at).toBe(expected);
    }
    const nothing = await restorer.run([
      'restore',
      '--from',
      from,
      '--to',
      '/nowhere',
      '--at',
      '6 hours ago',
    ]);
    expect([nothing.code, nothing.stderr]).toEqual([
      1,
      expect.stringMatching(/^error RESTORE_NOTHING_FOUND: /),
    ]);
  });

  it('lets a restore read on while it makes progress, and ends its grant 24 hours after the last', async () => {
    const restorer = restorerAt('restorer', clock.env);
    const from = await invite();
    const restoreInto = async (name: string) =>
      await restorer.run(['restore', '--from', from, '--to', path.join(bench.directory, name)]);
    for (const hours of [0, 23, 46]) {
      clock.set(hours * hourMs);
      const { code, stderr } = await restoreInto(`after-${hours}`);
      expect(code, stderr).toBe(0);
      const restored = path.join(bench.directory, `after-${hours}`, 'media');
      expect(formatDifferences(compareTrees(bench.source, restored).differences)).toBe('');
    }
    clock.set((46 + 24) * hourMs + 60_000);
    const late = await restoreInto('late');
    expect([late.code, late.stderr]).toEqual([
      1,
      expect.stringMatching(/^error INVITATION_REFUSED: .*\n.*expired/m),
    ]);
    // Not by its ID either, and whatever its own clock says.
    restorer.env = {};
    const { deviceId, listening } = await bench.receiver.status();
    const byId = restorer.begin(['restore', '--from', `${deviceId}@${listening[0]}`, '--to', '/nowhere']);
    await byId.said(/goes on trying/);
    await byId.kill();
    expect(fs.existsSync(path.join(bench.directory, 'late'))).toBe(false);
  });
});
