import { allVersionsKept } from '../../support/kept-history.ts';
import { createPublicKey } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CodedError } from '../../../shared/errors/coded-error.ts';
import type { SealedStore } from '../../../receiver/store/sealed-store.ts';
import { ReplicationLink } from '../../support/replication-bench.ts';
import { restoreFrom } from '../../support/restore-bench.ts';
import { createTestKey, SealedBench, type TestKey } from '../../support/sealed-bench.ts';
import { sealedReceiver } from '../../support/sealed-receiver.ts';
import { sealedStoreFixture } from '../../support/sealed-store-fixture.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { unsealersOf } from '../../support/unsealers-of.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const mib = 1024 * 1024;
let directory: string;
let agent: SealedBench;
let key: TestKey;
let fixture: ReturnType<typeof sealedStoreFixture>;
let store: SealedStore;
let now: number;

beforeEach(async () => {
  directory = temporaryDirectory();
  const home = path.join(directory, 'agent');
  fs.mkdirSync(home);
  key = await createTestKey('owner');
  agent = await SealedBench.create(home, [key.recipient]);
  const publicKey = createPublicKey(agent.identity.certificatePem);
  const { deviceId: agentId } = agent.identity;
  now = Date.now();
  fixture = sealedStoreFixture(directory, { agentKey: () => publicKey, now: () => now }, { agentId });
  store = await fixture.open();
});

afterEach(async () => {
  await store.close();
  agent.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

/** A link over which everything that the agent has becomes durable; content bytes that went over it. */
async function pull(): Promise<{ bytes: number; missing: number }> {
  const link = new ReplicationLink({ feeds: [agent.feed], stores: new Map([['database', store]]) });
  await until(
    'everything is durable',
    () => link.count('subscribe') > 0 && agent.feed.batchAfter(store.position()?.sequence ?? 0) === null,
  );
  await until('the index is complete', () => link.progress('database')?.complete === true);
  await link.close();
  return { bytes: link.contentBytes(), missing: link.count('missing') };
}

async function restored(): Promise<Buffer> {
  const to = fs.mkdtempSync(path.join(directory, 'restored-'));
  const { deviceId: agentId } = agent.identity;
  const nextChannel = sealedReceiver(store, { agentId, folder: 'database' });
  const result = await restoreFrom(
    { nextChannel },
    { to, folders: ['database'], agentId },
    () => null,
    unsealersOf(key, directory),
  );
  expect(result.folders[0]?.failed).toEqual([]);
  const [name = ''] = fs.readdirSync(path.join(to, 'database'));
  return fs.readFileSync(path.join(to, 'database', name));
}

const changed = (content: Buffer, seed: string): Buffer => {
  const copy = Buffer.from(content);
  seededBytes(seed, 2000).copy(copy, 3 * mib);
  return copy;
};

it('brings dumps to a receiver, only what changed the second time, and back', async () => {
  const first = seededBytes('first dump', 20 * mib);
  await agent.dump(first);
  const { bytes } = await pull();
  expect(bytes).toBeGreaterThan(20 * mib);
  expect((await restored()).equals(first)).toBe(true);

  const second = changed(first, 'an hour');
  await agent.dump(second);
  expect((await pull()).bytes).toBeLessThan(mib);
  expect(store.listVersions().map(({ number, complete }) => [number, complete])).toEqual([
    [1, true],
    [2, true],
  ]);
  expect((await restored()).equals(second)).toBe(true);
  expect(fixture.refused).toEqual([]);
});

it('heals a lost pack with the next dump', async () => {
  const first = seededBytes('first dump', 20 * mib);
  await agent.dump(first);
  await pull();
  await store.close();
  const packs = path.join(fixture.root, 'packs');
  const sizes = fs
    .readdirSync(packs)
    .map((name) => ({ name, size: fs.statSync(path.join(packs, name)).size }));
  const largest = sizes.toSorted((a, b) => b.size - a.size)[0];
  fs.rmSync(path.join(packs, largest?.name ?? ''));
  store = await fixture.open();
  expect(store.listVersions().map(({ complete }) => complete)).toEqual([false]);
  expect((await pull()).missing).toBe(1);

  const second = changed(first, 'an hour');
  await agent.dump(second);
  await pull();
  expect(
    store
      .listVersions()
      .map(({ complete }) => complete)
      .at(-1),
  ).toBe(true);
  expect((await restored()).equals(second)).toBe(true);
});

it('tells what was announced and never came before it acknowledges the announcement', async () => {
  await agent.dump(seededBytes('first dump', 2 * mib));
  const feed = new Proxy(agent.feed, {
    get: (target, property) => {
      if (property === 'openSource') return () => null;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  const link = new ReplicationLink({ feeds: [feed], stores: new Map([['database', store]]) });
  await until('the first batch', () => link.count('durable') > 0);
  const told = link.messages.find(({ type }) => type === 'missing' || type === 'durable');
  expect(told?.type).toBe('missing');
  await link.close();
});

it('sends nothing again when the receiver has lost its database', async () => {
  await agent.dump(seededBytes('first dump', 4 * mib));
  await pull();
  await store.close();
  for (const suffix of ['', '-wal', '-shm']) fs.rmSync(fixture.databasePath + suffix, { force: true });
  store = await fixture.open();
  expect((await pull()).bytes).toBe(0);
  expect(store.listVersions()).toHaveLength(1);
});

/** A dump of which nearly all was sealed when its source failed; its packs are on the receiver. */
async function failedDump(content: Buffer): Promise<void> {
  agent.content = async function* () {
    for (let at = 0; at < 36 * mib; at += mib) yield content.subarray(at, at + mib);
    throw new CodedError('SOURCE_FAILED', 'pg_dump failed: the server closed the connection');
  };
  await expect(agent.sealed.dump(new AbortController().signal)).rejects.toMatchObject({
    code: 'SOURCE_FAILED',
  });
  await pull();
}

const packCount = (): number => fs.readdirSync(path.join(fixture.root, 'packs')).length;

it.each([
  { days: 6, sent: 'only the rest' },
  { days: 8, sent: 'also what the receiver says that it no longer has' },
])(
  'sends $sent after a dump that failed $days days ago, over a restart of the receiver',
  async ({ days }) => {
    const content = seededBytes('failed dump', 40 * mib);
    await failedDump(content);
    const leased = packCount();
    expect(leased).toBeGreaterThan(0);
    now += days * 86_400_000;
    await store.expire(now, allVersionsKept);
    expect(packCount()).toBe(days < 7 ? leased : 0);
    await store.close();
    store = await fixture.open();
    expect((await pull()).missing).toBe(days < 7 ? 0 : 1);

    const { newBytes } = await agent.dump(content);
    if (days < 7) expect(newBytes).toBeLessThan(content.length / 2);
    await pull();
    expect(store.listVersions().map(({ complete }) => complete)).toEqual([true]);
    expect((await restored()).equals(content)).toBe(true);
  },
);
