import fs from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { formatReindexed } from '../../receiver/cli/reindex-command.ts';
import { createScrubber } from '../../receiver/create-scrubber.ts';
import { PointBooks } from '../../receiver/point-books.ts';
import { reindexCopies } from '../../receiver/reindex-copies.ts';
import type { ReceiverCommands } from '../../receiver/receiver-commands.ts';
import { sealedAgentId } from '../support/sealed-store-fixture.ts';
import { defaultScrubOptions } from '../../receiver/scrub/scrub-state.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { receiverCopies } from '../support/receiver-copies.ts';
import { makeStoppedReceiver, whileStopped } from '../support/stopped-receiver.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folders = ['dumps', 'media'];
let scratch: string;

beforeEach(async () => {
  scratch = temporaryDirectory();
  await makeStoppedReceiver(
    scratch,
    folders.map((folder) => [sealedAgentId, folder]),
  );
});

const offline = async <Result>(run: (commands: ReceiverCommands) => Promise<Result>): Promise<Result> =>
  whileStopped(scratch, run);

it.each([
  ['one folder', folders.slice(1)],
  ['everything', folders],
])('begins what is gone from the disk anew, as the error says that it does: %s', async (_, gone) => {
  for (const folder of gone)
    fs.rmSync(path.join(scratch, 'data', sealedAgentId, folder), { recursive: true });
  await expect(
    offline(async (commands) => commands.points({ agent: null, point: null })),
  ).rejects.toMatchObject({
    code: 'DISK_FAILED',
    hint: expect.stringContaining('"reindex" begins') as string,
  });
  const done = await offline(async (commands) => commands.reindex({}));
  expect(done.folders.map(({ id }) => id).sort()).toEqual(folders);
  expect(await offline(async (commands) => commands.points({ agent: null, point: null }))).toEqual({
    points: [],
    damaged: [],
  });
});

it('says what is wrong with a folder that is there and cannot be opened', async () => {
  fs.rmSync(path.join(scratch, 'data', sealedAgentId, 'media', 'current'), { recursive: true });
  fs.writeFileSync(path.join(scratch, 'data', sealedAgentId, 'media', 'current'), '');
  await expect(offline(async (commands) => commands.reindex({}))).rejects.toMatchObject({
    code: 'HOME_INVALID',
  });
});

it('names the folders that are there and closed, and makes the others anew', async () => {
  const copies = receiverCopies(scratch);
  const withoutSession = async (_: unknown, action: () => Promise<void>): Promise<void> => action();
  await copies.open(sealedAgentId, 'media');
  const done = await reindexCopies(copies, withoutSession);
  expect(done.folders.map(({ id }) => id)).toEqual(['media']);
  expect(done.closed).toEqual([{ agent: sealedAgentId, id: 'dumps' }]);
  expect(formatReindexed(done).at(-1)).toContain('folder dumps of agent');
  expect(formatReindexed({ ...done, folders: [] })).toHaveLength(1);
  await copies.open(sealedAgentId, 'dumps');
  expect(await reindexCopies(copies, withoutSession)).toMatchObject({ closed: [] });
  expect(formatReindexed({ folders: [], closed: [] })).toEqual(['nothing is held yet']);
  await copies.close();
});

it('does not call everything read through while a folder is closed', async () => {
  const copies = receiverCopies(scratch);
  const clocks = { now: Date.now, retentionNow: Date.now, steadyNow: () => performance.now() };
  const dataDirectory = path.join(scratch, 'data');
  const logger = silentLogger;
  const points = new PointBooks({ copies, dataDirectory, disk: nodeDisk, logger, ...clocks });
  const alarms = new AlarmBoard({ logger, now: Date.now });
  const config = { data: dataDirectory, scrub: defaultScrubOptions };
  const scrubber = createScrubber({ copies, points, alarms, logger, config, sessions: null });
  scrubber.start(0);
  const skipped: boolean[] = [];
  for (const folder of folders) {
    await copies.open(sealedAgentId, folder);
    skipped.push((await scrubber.run({ all: true }, new AbortController().signal)).skipped);
  }
  expect(skipped).toEqual([true, false]);
  await scrubber.stop();
  await points.close();
  await copies.close();
});
