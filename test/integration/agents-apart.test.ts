import fs from 'node:fs';
import path from 'node:path';
import { defaultGuardRules } from '../../receiver/guard/guard-rules.ts';
import { defaultPointRules } from '../../receiver/retention/point-retention.ts';
import { nothingKept } from '../support/kept-history.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AgentCopies } from '../../receiver/agent-copies.ts';
import { defaultScrubOptions } from '../../receiver/scrub/scrub-state.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import type { RefusedVersion } from '../../receiver/store/version-intake.ts';
import { parseDeviceId, type DeviceId } from '../../shared/identity/device-id.ts';
import { homeAt } from '../../shared/io/home.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import {
  agentPublicKey,
  packObject,
  sealedAgentId,
  SealedFeedFake,
  strangeAgentId,
  strangePublicKey,
  strangeVersionObjects,
  versionObjects,
} from '../support/sealed-store-fixture.ts';
import { FeedFake, fileState, readTree, sha256 } from '../support/store-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

/** Two agents on one receiver with the same folder ids and the same content: neither has anything of the other. */
const agents = [sealedAgentId, strangeAgentId] as const;
const quotaBytes = 100_000;
const [root, a] = [packObject('root'), packObject('a')];
const content = 'the same content on both';

let now: number;
let data: string;
let copies: AgentCopies;
let deps: ConstructorParameters<typeof AgentCopies>[0];
let refused: [DeviceId, RefusedVersion][];

beforeEach(() => {
  now = 1_800_000_000_000;
  const scratch = memoryDirectory();
  data = path.join(scratch, 'data');
  fs.mkdirSync(data);
  refused = [];
  deps = {
    home: homeAt(path.join(scratch, 'home'), 'receiver.yaml'),
    config: {
      data,
      listen: [],
      advertise: [],
      freeSpaceFloor: 0,
      versions: { kind: 'simple', keep: 0, cleanoutDays: 0, floorDays: 1 },
      folderVersions: new Map(),
      points: defaultPointRules,
      guards: defaultGuardRules,
      scrub: defaultScrubOptions,
      quotaBytes: null,
      sealedReserve: 0.1,
      quotas: new Map([[agents[0], quotaBytes]]),
    },
    disk: nodeDisk,
    logger: silentLogger,
    onRefused: (agentId, _folder, one) => refused.push([agentId, one]),
    now: () => now,
  };
  copies = new AgentCopies(deps);
  copies.learnKey(agents[0], agentPublicKey.export({ type: 'spki', format: 'der' }));
  copies.learnKey(agents[1], strangePublicKey.export({ type: 'spki', format: 'der' }));
});

afterEach(async () => {
  await copies.close();
});

async function mirrors(): Promise<[MirrorStore, MirrorStore]> {
  const [first, second] = await Promise.all(agents.map((agent) => copies.open(agent, 'media', 'mirror')));
  return [first as MirrorStore, second as MirrorStore];
}

async function sealed(): Promise<[SealedStore, SealedStore]> {
  const [first, second] = await Promise.all(agents.map((agent) => copies.open(agent, 'database', 'sealed')));
  return [first as SealedStore, second as SealedStore];
}

const recordOf = (name: string) => ({
  path: parseTypedPath(name),
  sequence: 1,
  replaces: null,
  state: fileState(content),
});

it('says of no content that it is held because another agent holds it', async () => {
  const [first, second] = await mirrors();
  await new FeedFake(() => first).send({ file: content });
  for (const name of ['file', 'elsewhere']) expect(second.need(recordOf(name))).toBe('fetch');
  expect(first.need(recordOf('elsewhere'))).toBe('held');
  expect(await second.stageHeld(sha256(content), content.length)).toBe(false);
  expect(second.copies(sha256(content))).toEqual([]);
  const other = (await copies.open(agents[1], 'more', 'mirror')) as MirrorStore;
  expect(other.need(recordOf('file'))).toBe('fetch');
});

it('shares no pack: each agent sends its own, and its versions and leases are its own', async () => {
  const [first, second] = await sealed();
  const [feed, otherFeed] = [new SealedFeedFake(() => first), new SealedFeedFake(() => second)];
  const version = versionObjects(1, [root, a]);
  await feed.send([root, a, version.json, version.signature]);
  const record = { path: a.path, sequence: 1, replaces: null, state: fileState(a.content) };
  expect(second.need(record)).toBe('fetch');
  const other = strangeVersionObjects(1, [root, a]);
  await otherFeed.send([root, other.json, other.signature], { gone: [a] });
  expect(second.listVersions().map(({ complete }) => complete)).toEqual([false]);
  expect(first.missingPacks()).toEqual([]);
  expect(second.missingPacks()).toEqual([sha256(a.content)]);
  const loose = packObject('loose');
  await feed.send([loose]);
  now += 6 * 86_400_000;
  await otherFeed.send([loose]);
  now += 2 * 86_400_000;
  for (const store of [first, second]) await store.expire(now, nothingKept);
  const has = (agent: DeviceId): boolean => readTree(path.join(data, agent)).has(`database/${loose.path}`);
  expect(agents.map(has)).toEqual([false, true]);
});

it('takes no version of one agent from the other, however it is signed', async () => {
  const [, second] = await sealed();
  const feed = new SealedFeedFake(() => second);
  const stolen = versionObjects(1, [root, a]);
  await feed.send([root, a, stolen.json, stolen.signature]);
  expect(second.listVersions()).toEqual([]);
  expect(refused).toMatchObject([[agents[1], { error: { code: 'RECORD_FORGED' } }]]);
});

it('keeps the key of an agent only under its own ID', () => {
  const file = path.join(data, agents[0], 'agent.pem');
  const before = fs.readFileSync(file);
  copies.learnKey(agents[0], strangePublicKey.export({ type: 'spki', format: 'der' }));
  expect(fs.readFileSync(file)).toEqual(before);
  const unknown = parseDeviceId('GU77MKD-5E7SBZF-CEQDU57-IAKI47O-VFV4WZM-EFFAQGA-SSHTHTJ-HMCYJQM');
  copies.learnKey(unknown, strangePublicKey.export({ type: 'spki', format: 'der' }));
  expect(fs.existsSync(path.join(data, unknown))).toBe(false);
});

it('lets no key file of another device stand for the agent', async () => {
  const spare = path.join(deps.home.directory, 'db', agents[1], 'agent.pem');
  const own = sha256(fs.readFileSync(spare));
  await copies.close();
  for (const [file, known] of [
    [path.join(data, agents[1], 'agent.pem'), [own]],
    [spare, []],
  ] as const) {
    fs.writeFileSync(file, agentPublicKey.export({ type: 'spki', format: 'pem' }));
    const again = new AgentCopies(deps);
    const store = (await again.open(agents[1], 'database', 'sealed')) as SealedStore;
    const { entries } = store.entriesAt({ at: null, after: null, limit: 10 });
    expect(entries.map(({ state }) => state.kind === 'file' && state.hash)).toEqual(known);
    await again.close();
  }
});

it('counts for each agent what it stores itself: one at its quota stops nothing of the other', async () => {
  const [first, second] = await mirrors();
  const full = new FeedFake(() => first);
  await full.send({ big: Buffer.alloc(85_000, 'x') });
  await expect(full.send({ more: Buffer.alloc(20_000, 'y') })).rejects.toMatchObject({
    code: 'QUOTA_REACHED',
  });
  expect(copies.quotaOf(agents[1]).usedBytes()).toBe(0);
  const part = second.openPartial(sha256('part'), 500_000);
  part.write(0, Buffer.alloc(400_000));
  part.close();
  expect(() => first.assertRoom(20_000)).toThrowError(expect.objectContaining({ code: 'QUOTA_REACHED' }));
  expect(copies.quotaOf(agents[1]).usedBytes()).toBe(400_000);
  await new FeedFake(() => second).send({ big: Buffer.alloc(300_000, 'x') });
  expect(copies.quotaOf(agents[0]).usedBytes()).toBe(85_512);
});

it('deletes and expires of one agent only what is its own', async () => {
  const [first, second] = await mirrors();
  const [feed, otherFeed] = [new FeedFake(() => first), new FeedFake(() => second)];
  for (const one of [feed, otherFeed]) await one.send({ file: content, kept: 'kept' });
  for (const one of [feed, otherFeed]) await one.send({ file: null });
  await feed.complete();
  now += 10 * 86_400_000;
  const before = readTree(path.join(data, agents[1], 'media', 'versions'));
  expect(await first.expire(now, nothingKept)).toMatchObject({ versions: 1 });
  expect(before.size).toBe(1);
  expect(readTree(path.join(data, agents[1], 'media', 'versions'))).toEqual(before);
  expect(readTree(path.join(data, agents[0], 'media', 'versions')).size).toBe(0);
});
