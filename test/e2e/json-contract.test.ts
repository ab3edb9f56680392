import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { Device, type Agent } from '../support/device.ts';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { Workbench } from '../support/workbench.ts';

const moment = z.iso.datetime();
const count = z.int().min(0);
const deviceId = z.string().regex(/^([A-Z2-7]{7}-){7}[A-Z2-7]{7}$/);
const alarms = z.array(z.object({ code: z.string(), message: z.string(), since: moment }));
const kind = z.enum(['mirror', 'sealed']);

/** What scripts read of it; there may be more fields, and none of these may go or change its type. */
const agentStatus = z.object({
  deviceId,
  folders: z.array(
    z.object({
      id: z.string(),
      kind,
      files: count,
      bytes: count,
      sequence: count,
      state: z.string(),
      lastScanAt: moment.nullable(),
      lastVersionAt: moment.nullable(),
    }),
  ),
  receivers: z.array(
    z.object({
      deviceId,
      connected: z.boolean(),
      folders: z.array(
        z.object({ id: z.string(), durableSequence: count, lagBytes: count, lagFiles: count }),
      ),
    }),
  ),
  spoolBytes: count,
  alarms,
});

const receiverStatus = z.object({
  deviceId,
  agents: z.array(
    z.object({
      deviceId,
      connected: z.boolean(),
      frozen: z.boolean(),
      quotaBytes: count.nullable(),
      usedBytes: count,
      points: z.object({ count, latestAt: moment.nullable(), oldestAt: moment.nullable() }),
      folders: z.array(
        z.object({
          id: z.string(),
          kind,
          files: count.nullable(),
          bytes: count,
          versions: count,
          durableSequence: count,
          lastDurableAt: moment.nullable(),
        }),
      ),
    }),
  ),
  disk: z.object({ freeBytes: count, usedBytes: count }),
  scrub: z.object({ coveredAt: moment.nullable(), damaged: count }),
  alarms,
});

const invitation = z.object({
  invitation: z.string().startsWith('mastokeep1-'),
  expiresAt: moment,
  addresses: z.array(z.string()),
});
const scanned = z.object({ id: z.string(), files: count, bytes: count, sequence: count, unreadable: count });

let bench: Workbench;

let passphraseDirectory: string;
let files: number;

beforeAll(async () => {
  passphraseDirectory = temporaryDirectory();
  const passphraseFile = path.join(passphraseDirectory, 'passphrase');
  fs.writeFileSync(passphraseFile, 'eight words that nobody else ever put together\n', { mode: 0o600 });
  bench = await Workbench.create('json', {
    receiverListens: true,
    agentInit: ['--passphrase-file', passphraseFile],
  });
  MastodonTree.make(bench.source, { seed: 'json', files: 30 });
  fs.writeFileSync(path.join(bench.source, 'notes.txt'), 'one');
  files = filesBelow(bench.source).length;
  const sealed = [
    '--kind',
    'sealed',
    '--schedule',
    '0 0 1 1 *',
    '--path',
    path.join(bench.source, 'notes.txt'),
  ];
  await bench.agent.must(['folder', 'add', 'secrets', ...sealed]);
  await bench.startPaired();
});

afterAll(async () => {
  await bench.dispose();
  fs.rmSync(passphraseDirectory, { recursive: true });
});

function filesBelow(directory: string): string[] {
  const entries = fs.readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

/** What it printed: one JSON document, and nothing beside it. */
async function json<T>(schema: z.ZodType<T>, device: Device<unknown>, args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await device.run([...args, '--json']);
  expect([code, stderr], args.join(' ')).toEqual([0, '']);
  return schema.parse(JSON.parse(stdout));
}

it('tells the state of an agent and of a receiver, of mirror and of sealed folders', async () => {
  const dumped = z.object({
    copies: count,
    versions: z.array(z.object({ folder: z.string(), number: count })),
  });
  await json(dumped, bench.agent, ['dump', 'secrets', '--wait-copies', '1']);
  const waited = await json(z.object({ copies: count, folders: z.array(scanned) }), bench.agent, [
    'wait',
    '--copies',
    '1',
    '--timeout',
    '120',
  ]);
  expect(waited.copies).toBe(1);
  expect(waited.folders.find(({ id }) => id === 'media')).toMatchObject({ files });

  const agent = await json(agentStatus, bench.agent, ['status']);
  const [media, secrets] = agent.folders;
  expect([media?.id, media?.kind, media?.files]).toEqual(['media', 'mirror', files]);
  expect(media?.state).toMatch(/^(idle|scanning)$/);
  expect([secrets?.id, secrets?.kind]).toEqual(['secrets', 'sealed']);
  expect([media?.lastScanAt, secrets?.lastVersionAt]).not.toContain(null);
  expect(agent.receivers).toMatchObject([{ deviceId: await bench.receiver.id(), connected: true }]);
  const copy = agent.receivers[0]?.folders.find(({ id }) => id === 'media');
  expect(copy).toMatchObject({ lagBytes: 0, lagFiles: 0 });

  const receiver = await json(receiverStatus, bench.receiver, ['status']);
  expect(receiver.agents).toMatchObject([{ deviceId: bench.agentId, connected: true, frozen: false }]);
  const held = new Map(receiver.agents[0]?.folders.map((folder) => [folder.id, folder]));
  expect(held.get('media')).toMatchObject({ kind: 'mirror', files, bytes: media?.bytes, versions: 0 });
  expect(held.get('media')?.durableSequence).toBe(copy?.durableSequence);
  expect(held.get('secrets')).toMatchObject({ kind: 'sealed', files: null, versions: 1 });
  expect([held.get('media')?.lastDurableAt, held.get('secrets')?.lastDurableAt]).not.toContain(null);
});

it('gives one document for every other command that reports', async () => {
  const { agent, receiver } = bench;
  const id = z.object({ deviceId });
  expect(await json(id, agent, ['id'])).toEqual({ deviceId: bench.agentId });
  await json(id, receiver, ['id']);
  await json(invitation, agent, ['invite']);
  await json(invitation, receiver, ['invite', '--role', 'restore']);
  await json(z.object({ folders: z.array(scanned).length(1) }), agent, ['scan', 'media']);
  await json(z.object({ pausedUntil: moment }), agent, ['pause', '--for', '1h']);
  await json(z.object({ pausedUntil: z.null() }), agent, ['pause']);
  await json(z.object({ wasPaused: z.literal(true) }), agent, ['resume']);
  await json(z.object({ recipients: z.array(z.unknown()) }), agent, ['recipient', 'list']);
  fs.writeFileSync(path.join(bench.source, 'notes.txt'), 'another');
  await bench.settled();
  const version = z.object({
    name: z.string(),
    size: count,
    receivedAt: moment,
    replacedAt: moment.nullable(),
    current: z.boolean(),
  });
  const listed = await json(z.object({ agent: deviceId, versions: z.array(version) }), receiver, [
    'versions',
    'media',
    'notes.txt',
    '--agent',
    bench.agentId.slice(0, 7).toLowerCase(),
  ]);
  expect(listed.versions.map(({ size, current }) => [size, current])).toEqual([
    [7, true],
    [3, false],
  ]);
  const folder = z.object({ agent: deviceId, id: z.string(), files: count.nullable(), versions: count });
  const reindexed = await json(
    z.object({ folders: z.array(folder), closed: z.array(z.unknown()) }),
    receiver,
    ['reindex'],
  );
  expect(reindexed.folders.find(({ id: each }) => each === 'media')).toMatchObject({
    agent: bench.agentId,
    files,
    versions: 1,
  });
});

it('prints tables for people', async () => {
  const { agent, receiver } = bench;
  const scanned = /^FOLDER +FILES +SIZE +UNREADABLE\nmedia +(\d+) +\d\S* [KM]?i?B +0\n$/;
  expect((await agent.must(['scan', 'media'])).match(scanned)?.[1]).toBe(String(files));
  const waited = (await agent.must(['wait', '--timeout', '120'])).split('durable on');
  expect(waited[0]).toMatch(scanned);
  expect(waited[1]).toBe(' 1 receiver\n');
  expect(await agent.must(['dump', 'secrets', '--wait-copies', '1'])).toMatch(
    /^FOLDER +VERSION +SIZE +NEW +TO SEND +TIME\nsecrets +2 +7 B .* s\ndurable on 1 receiver\n$/,
  );
  expect(await receiver.must(['versions', 'media', 'notes.txt'])).toMatch(
    /^VERSION +SIZE +RECEIVED +REPLACED\nnotes.txt \(current\) +7 B +\S+Z \(.*\) +-\nnotes~[-\d]+.txt +3 B +\S+Z \(.*\) +\S+Z \(.*\)\n$/,
  );
  expect(await receiver.must(['versions', 'media', 'never'])).toBe(
    'nothing is held of never in folder media\n',
  );
  expect(await receiver.must(['versions', 'secrets'])).toMatch(
    /^VERSION +MADE +RECEIVED +PACKS +SIZE +EPOCH +READABLE WITH +COMPLETE\n2 .* a passphrase +yes\n1 .* a passphrase +yes\n$/,
  );
  const name = bench.agentId.slice(0, 7);
  expect(await receiver.must(['reindex'])).toMatch(
    new RegExp(`^AGENT +FOLDER +FILES +VERSIONS\n${name} +media +${files} +1\n${name} +secrets +- +2\n$`),
  );
  expect(await agent.must(['status'])).toMatch(/\nmedia +(idle|scanning) +\d+ /);
  expect(await receiver.must(['status'])).toMatch(new RegExp(`\n${name} +connected .* media +${files} `));
});

it('joins, is unpaired and restores with one document each', async () => {
  const restorer: Agent = new Device('agent', path.join(bench.directory, 'restorer'));
  const to = path.join(bench.directory, 'restored');
  const from = await bench.receiver.invite(['--role', 'restore']);
  const restored = await json(
    z.object({
      agent: deviceId,
      at: moment,
      dryRun: z.boolean(),
      durationMs: z.number(),
      folders: z.array(
        z.object({
          id: z.string(),
          target: z.string(),
          files: count,
          skipped: count,
          bytes: count,
          failed: z.array(z.unknown()),
        }),
      ),
    }),
    restorer,
    ['restore', '--from', from, '--to', to, '--folder', 'media'],
  );
  expect(restored).toMatchObject({
    agent: bench.agentId,
    dryRun: false,
    folders: [{ files, failed: [] }],
  });
  const receiverId = await bench.receiver.id();
  const unpaired = z.object({ deviceId: z.literal(receiverId) });
  await json(unpaired, bench.agent, ['unpair', receiverId.slice(0, 7)]);
  await json(z.object({ deviceId: z.literal(bench.agentId) }), bench.receiver, ['unpair', bench.agentId]);
  const invited = await json(invitation, bench.agent, ['invite']);
  await json(z.object({ deviceId: z.literal(bench.agentId), role: z.literal('replica') }), bench.receiver, [
    'join',
    invited.invitation,
  ]);
});
