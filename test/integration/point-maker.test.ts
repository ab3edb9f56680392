import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { PointLedger } from '../../agent/points/point-ledger.ts';
import { PointMaker } from '../../agent/points/point-maker.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { pointId } from '../../shared/sealing/point-record.ts';
import { SealedSchedule } from '../support/sealed-schedule.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { until } from '../support/until.ts';

const minuteMs = 60_000;

let directory: string;
let agent: SealedSchedule;
let ledger: PointLedger;
let maker: PointMaker;
/** Ends of the full scans that were begun, in order. */
let scans: (() => void)[];
/** Where the mirror folder stands. */
let media: { index: string; sequence: number };

beforeEach(async () => {
  vi.stubEnv('TZ', 'UTC');
  directory = temporaryDirectory();
  agent = await SealedSchedule.create(directory, Date.parse('2026-11-21T08:00:00Z'));
  const deps = { steadyNow: () => 0, after: () => {} };
  ledger = new PointLedger(deps, { directory: path.join(directory, 'points'), pointsMax: 9 });
  scans = [];
  media = { index: '00000000000000aa', sequence: 5 };
  maker = new PointMaker({
    ledger,
    identity: await createDeviceIdentity(directory),
    positions: () => new Map([['media', media]]),
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
  vi.unstubAllEnvs();
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

it('begins the full scan when the dump gives its first bytes, neither before nor when it is through', async () => {
  const file = (name: string): string => path.join(directory, name);
  const waitFor = (name: string): string => `while [ ! -e ${file(name)} ]; do sleep 0.02; done`;
  agent.add('clock', {
    command: `echo > ${file('begun')}; ${waitFor('output')}; date +%N; ${waitFor('end')}`,
  });
  const dumping = agent.folders.dump(null, null);
  await until('the dump has begun', () => fs.existsSync(file('begun')));
  expect(scans).toHaveLength(0);
  fs.writeFileSync(file('output'), '');
  await until('the scan has begun', () => scans.length === 1);
  fs.writeFileSync(file('end'), '');
  await dumping;
  expect(scans).toHaveLength(1);
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

it('makes the point of a scheduled dump, and one of its own an hour after the last', async () => {
  agent.add('clock', { command: 'date +%N' }, '40 8 * * *');
  agent.folders.start();
  maker.tick();
  await until('the scan of the first point has begun', () => scans.length === 1);
  media = { ...media, sequence: 6 };
  scans[0]?.();
  await until('the first point is made', () => ledger.latest());
  expect(ledger.latest()).toMatchObject({
    number: 1,
    cause: 'hourly',
    folders: [{ id: 'media', from: 5, to: 6 }],
  });
  await agent.pass(41 * minuteMs);
  expect(agent.versions('clock')).toEqual([1]);
  scans[1]?.();
  await until('the point of the dump is made', () => ledger.latest()?.number === 2);
  expect(ledger.latest()).toMatchObject({ cause: 'dump', folders: [{ id: 'media' }, { number: 1 }] });
  await agent.pass(60 * minuteMs);
  maker.tick();
  maker.tick();
  await agent.pass(minuteMs);
  expect(scans).toHaveLength(2);
  maker.tick();
  maker.tick();
  await until('the scan of the third point has begun', () => scans.length === 3);
  scans[2]?.();
  await until('the third point is made', () => ledger.latest()?.number === 3);
  expect(ledger.latest()).toMatchObject({ cause: 'hourly' });
  await maker.stop();
  expect(scans).toHaveLength(3);
});

it('names of an index that began meanwhile all that it has', async () => {
  maker.tick();
  await until('the scan has begun', () => scans.length === 1);
  media = { index: '00000000000000bb', sequence: 9 };
  scans[0]?.();
  await until('the point is made', () => ledger.latest());
  expect(ledger.latest()).toMatchObject({ folders: [{ index: '00000000000000bb', from: 0, to: 9 }] });
});
