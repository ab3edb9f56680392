import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { AgentCopies } from '../../receiver/agent-copies.ts';
import { DataWatch } from '../../receiver/data-watch.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import { parseDeviceId, type DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { dyingDisk } from '../support/faulty-disk.ts';
import { FeedFake } from '../support/store-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';
import { receiverCopies } from '../support/receiver-copies.ts';

const agentId = parseDeviceId('GU77MKD-5E7SBZF-CEQDU57-IAKI47O-VFV4WZM-EFFAQGA-SSHTHTJ-HMCYJQM');

const disk = dyingDisk(nodeDisk);
let data: string;
let copies: AgentCopies;
let alarms: AlarmBoard;
let watch: DataWatch;
/** Agents whose session was ended for the time of an action. */
let interrupted: DeviceId[];

beforeEach(async () => {
  const scratch = memoryDirectory();
  data = path.join(scratch, 'data');
  fs.mkdirSync(data);
  const now = (): number => Date.now();
  copies = receiverCopies(scratch, now, {}, disk.disk);
  alarms = new AlarmBoard({ logger: silentLogger, now });
  interrupted = [];
  watch = new DataWatch({
    copies,
    alarms,
    logger: silentLogger,
    withoutSession: async (agent, action) => {
      interrupted.push(agent);
      await action();
    },
  });
  await copies.open(agentId, 'media');
});

afterEach(async () => {
  disk.revive();
  await copies.close();
});

it('leaves copies alone that are where they were', async () => {
  const store = copies.get(agentId, 'media');
  await watch.check();
  expect(copies.get(agentId, 'media')).toBe(store);
  expect(interrupted).toEqual([]);
});

it('goes on looking after a look that failed', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    let looks = 0;
    const failing = Object.assign(Object.create(copies) as AgentCopies, {
      agentIds: () => {
        looks += 1;
        throw new Error('the home cannot be read');
      },
    });
    const withoutSession = async (): Promise<void> => {};
    watch = new DataWatch({ copies: failing, alarms, logger: silentLogger, withoutSession });
    watch.start();
    for (const expected of [1, 2]) {
      await vi.advanceTimersByTimeAsync(5000);
      expect(looks).toBe(expected);
    }
    await watch.stop();
  } finally {
    vi.useRealTimers();
  }
});

it('closes a copy whose directory is gone, alarms, and opens it when it is back', async () => {
  fs.renameSync(data, `${data}.away`);
  await watch.check();
  expect(interrupted).toEqual([agentId]);
  expect(alarms.list()).toMatchObject([
    { code: 'DISK_FAILED', message: expect.stringContaining('is the disk mounted?') as string },
  ]);
  expect(() => copies.get(agentId, 'media')).toThrowError(expect.objectContaining({ code: 'DISK_FAILED' }));
  await watch.check();
  expect(interrupted).toEqual([agentId]);
  fs.renameSync(`${data}.away`, data);
  await watch.check();
  expect(copies.get(agentId, 'media').isInPlace()).toBe(true);
  expect(alarms.list()).toEqual([]);
});

it('opens a copy anew where another directory stands in the place of its own', async () => {
  const store = copies.get(agentId, 'media');
  fs.renameSync(data, `${data}.away`);
  fs.cpSync(`${data}.away`, data, { recursive: true });
  await watch.check();
  expect(interrupted).toEqual([agentId]);
  expect(copies.get(agentId, 'media')).not.toBe(store);
  expect(copies.get(agentId, 'media').isInPlace()).toBe(true);
  expect(alarms.list()).toEqual([]);
});

it('opens a store anew that has failed and that nobody else opens, and goes on trying while the disk refuses', async () => {
  const feed = new FeedFake(() => copies.get(agentId, 'media') as MirrorStore);
  await feed.send({ file: 'one' });
  disk.dieAfter(3);
  await expect(feed.send({ file: 'two' })).rejects.toMatchObject({ code: 'DISK_FAILED' });
  expect(copies.get(agentId, 'media').mustReopen).toBe(true);
  const minute = async (): Promise<void> => {
    for (let checks = 0; checks < 12; checks += 1) await watch.check();
  };
  await minute();
  expect(alarms.list()).toMatchObject([{ code: 'DISK_FAILED' }]);
  disk.revive();
  await minute();
  expect(alarms.list()).toEqual([]);
  expect(interrupted).toEqual([agentId, agentId]);
  const again = new FeedFake(() => copies.get(agentId, 'media') as MirrorStore);
  again.sequence = 1;
  await again.send({ file: 'two' });
});
