import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PointLedger } from '../../agent/points/point-ledger.ts';
import { PointMaker } from '../../agent/points/point-maker.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { pointId } from '../../shared/sealing/point-record.ts';
import { SealedSchedule } from '../support/sealed-schedule.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { until } from '../support/until.ts';

let agent: SealedSchedule;
let ledger: PointLedger;
let maker: PointMaker;
/** Ends of the full scans that were begun, in order. */
let scans: (() => void)[];

beforeEach(async () => {
  const directory = temporaryDirectory();
  agent = await SealedSchedule.create(directory, Date.parse('2026-11-21T08:00:00Z'));
  const deps = { steadyNow: () => 0, after: () => {} };
  ledger = new PointLedger(deps, { directory: path.join(directory, 'points'), pointsMax: 9 });
  scans = [];
  maker = new PointMaker({
    ledger,
    identity: await createDeviceIdentity(directory),
    positions: () => new Map([['media', { index: '00000000000000aa', sequence: 5 }]]),
    scan: async () => new Promise((resolve) => scans.push(resolve)),
    newestVersions: () => agent.folders.newestVersions(),
    now: () => agent.nowMs,
    logger: silentLogger,
  });
  agent.around = async (asked, work) => maker.around(asked, work);
});
afterEach(async () => {
  maker.pause(true);
  await agent.folders.stop();
  await maker.stop();
});

it('gives the versions of a dump back while the full scan for its restore point still runs', async () => {
  agent.add('clock', { command: 'date +%N' });
  const { versions, point } = await agent.folders.dump(null, null);
  expect([versions.length, point, scans.length, ledger.latest()]).toEqual([1, null, 1, null]);
  scans[0]?.();
  await until('the point is made', () => ledger.latest());
  expect(ledger.latest()).toMatchObject({
    cause: 'asked',
    folders: [{ id: 'media' }, { id: 'clock', number: 1 }],
  });
});

it('waits for the restore point of a dump that shall be pinned, and gives its name', async () => {
  agent.add('clock', { command: 'date +%N' });
  let isDone = false;
  const dumping = agent.folders.dump(null, 'before the upgrade').finally(() => {
    isDone = true;
  });
  await until('the version is made', () => agent.versions('clock').length === 1 && scans.length === 1);
  await agent.settled();
  expect(isDone).toBe(false);
  scans[0]?.();
  const { point } = await dumping;
  const record = ledger.latest();
  expect(record).toMatchObject({ pin: 'before the upgrade', folders: [{ id: 'media' }, { number: 1 }] });
  const held = ledger.nextFor('anybody')?.record;
  if (record === null || held === undefined) throw new Error('no point was made');
  expect(point).toBe(pointId(record, held));
});

it('tells at once that a dump failed, makes the point of what is there, and begins no other round before it', async () => {
  agent.add('broken', { command: 'exit 3' });
  await expect(agent.folders.dump(null, null)).rejects.toMatchObject({ code: 'SOURCE_FAILED' });
  expect(ledger.latest()).toBeNull();
  agent.add('clock', { command: 'date +%N' });
  const next = agent.folders.dump('clock', null);
  await until('the scan has begun', () => scans.length === 1);
  expect(agent.versions('clock')).toEqual([]);
  scans[0]?.();
  await next;
  expect(ledger.latest()).toMatchObject({ number: 1, folders: [{ id: 'media' }] });
  expect(agent.versions('clock')).toEqual([1]);
});
