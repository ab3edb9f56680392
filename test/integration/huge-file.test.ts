import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { temporaryFileName } from '../../agent/restore/temporary-file.ts';
import { FolderContent } from '../../agent/serve/folder-content.ts';
import { ContentReader } from '../../agent/watch/content-reader.ts';
import { IndexedFeed } from '../../agent/watch/indexed-feed.ts';
import { historyOfStores } from '../../receiver/serve/restore-history.ts';
import { RestoreLeases } from '../../receiver/serve/restore-lease.ts';
import { serveRestore } from '../../receiver/serve/restore-session.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { ChunkList } from '../../shared/chunking/chunk-list.ts';
import { fileChunking } from '../../shared/chunking/chunking-parameters.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { FileState } from '../../shared/records/file-record.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { createChannelPair } from '../support/channel-pair.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { ReplicationLink } from '../support/replication-bench.ts';
import { benchAgent, restoreFrom } from '../support/restore-bench.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { createTemporaryDirectory } from '../support/source-tree.ts';
import { sha256, storeFixture } from '../support/store-fixture.ts';
import { noHeldPoints } from '../support/no-held-points.ts';
import { until } from '../support/until.ts';
import { listVersionFiles } from '../support/version-files.ts';

const mib = 1024 * 1024;
/** What comes before is a hole: it costs hashing, not writing. What counts lies behind every offset of 32 bits. */
const holeBytes = 2 ** 32;
const tail = seededBytes('tail', 1.5 * mib);
const size = holeBytes + tail.length;
const huge = parseTypedPath('huge');
const patience = { timeoutMs: 250_000 };

let directory: ReturnType<typeof createTemporaryDirectory>;
beforeEach(() => {
  directory = createTemporaryDirectory('huge');
});
afterEach(() => directory[Symbol.dispose]());
const at = (name: string): string => path.join(directory.path, name);

/** The bytes behind the hole. */
function tailOf(file: string): Buffer {
  const fd = fs.openSync(file, 'r');
  const bytes = Buffer.alloc(tail.length + 1);
  const length = fs.readSync(fd, bytes, 0, bytes.length, holeBytes);
  fs.closeSync(fd);
  return bytes.subarray(0, length);
}

/** A transfer that was interrupted behind the hole leaves this. */
function leavePartial(file: string): void {
  fs.writeFileSync(file, '', { mode: 0o600 });
  fs.truncateSync(file, holeBytes);
}

/** SHA-256 of the whole file, the hole and what is behind it; made once, because it takes its time. */
const wholeHash = hashOfZerosAnd(tail);

function hashOfZerosAnd(end: Buffer): Buffer {
  const zeros = Buffer.alloc(mib);
  const whole = createHash('sha256');
  for (let offset = 0; offset < holeBytes; offset += mib) whole.update(zeros);
  return whole.update(end).digest();
}

/** The file's hash and chunks as an agent would find them; finding borders in zeros by content takes five times as long. */
function readHuge(file: string): { state: FileState; chunks: ChunkList } {
  const zeroChunk = { length: mib, hash: sha256(Buffer.alloc(mib)) };
  const chunks: ChunkList = [];
  for (let offset = 0; offset < holeBytes; offset += mib) chunks.push(zeroChunk);
  for (let offset = 0; offset < tail.length; offset += mib / 4) {
    const chunk = tail.subarray(offset, offset + mib / 4);
    chunks.push({ length: chunk.length, hash: sha256(chunk) });
  }
  const { mtimeNs } = fs.statSync(file, { bigint: true });
  const owner = { mode: 0o644, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  return { state: { kind: 'file', size, mtimeNs, ...owner, hash: wholeHash }, chunks };
}

it('sends only what is missing of a file over 4 GiB, restores it, and keeps it as a version', async () => {
  fs.mkdirSync(at('source'));
  const source = at('source/huge');
  leavePartial(source);
  fs.appendFileSync(source, tail);
  const { state, chunks } = readHuge(source);
  const agent = new FolderBench(directory.path, at('source'));
  agent.indexer.index.commit([{ path: huge, state, ctimeNs: 1n, ino: 1n, chunks }]);
  const feed = new IndexedFeed(
    { database: agent.database, root: at('source'), request: async () => {}, send: () => {} },
    'media',
  );
  expect(feed.recordAt(huge)?.state).toEqual(state);

  const fixture = storeFixture(at('receiver'));
  await (await fixture.open()).close();
  leavePartial(path.join(fixture.root, 'incoming', `${state.hash.toString('hex')}.part`));
  const store = await fixture.open();
  expect(await pull(feed, store)).toBe(tail.length);
  const current = path.join(fixture.root, 'current/huge');
  expect(fs.statSync(current).size).toBe(size);
  expect(tailOf(current)).toEqual(tail);

  fs.mkdirSync(at('restored/media'), { recursive: true });
  leavePartial(path.join(at('restored/media'), temporaryFileName({ path: huge, state })));
  const { received, result } = await restore(feed, store);
  expect(result.folders).toMatchObject([{ files: 1, bytes: size, failed: [] }]);
  expect(received).toBeGreaterThanOrEqual(tail.length);
  expect(received).toBeLessThan(tail.length + mib);
  expect(fs.statSync(at('restored/media/huge'), { bigint: true })).toMatchObject({
    size: BigInt(size),
    mtimeNs: state.mtimeNs,
  });
  expect(tailOf(at('restored/media/huge'))).toEqual(tail);

  fs.rmSync(source);
  fs.writeFileSync(source, 'small');
  agent.scan();
  await pull(feed, store);
  expect(fs.readFileSync(current, 'utf8')).toBe('small');
  const [version] = listVersionFiles(path.join(fixture.root, 'versions'));
  expect(version?.path).toBe('huge');
  expect(tailOf(path.join(fixture.root, 'versions', version?.file ?? ''))).toEqual(tail);
  expect(store.usage()).toMatchObject({ files: 1, bytes: 5, versions: 1, versionBytes: size });
  await store.close();
  agent.close();
});

/** Pulls until everything is durable; gives how many bytes of content went over the link. */
async function pull(feed: IndexedFeed, store: MirrorStore): Promise<number> {
  const link = new ReplicationLink({ feeds: [feed], stores: new Map([['media', store]]) });
  const isDurable = (): boolean => feed.batchAfter(store.position()?.sequence ?? 0) === null;
  await until('everything is durable', isDurable, patience);
  await link.close();
  return link.contentBytes();
}

/** The listing is the store's; the content comes by the agent's chunks, for the same reason as above. */
async function restore(feed: IndexedFeed, store: MirrorStore) {
  let received = 0;
  const grant = { role: 'restore', agentId: benchAgent } as const;
  const { folders, points } = historyOfStores(new Map([['media', store]]), noHeldPoints);
  const content = new FolderContent({ list: () => [feed], onChange: () => () => {} });
  const nextChannel = async () => {
    const [restorer, served] = createChannelPair({
      firstGrant: grant,
      secondGrant: grant,
      onMessage: (message, direction) => {
        if (direction === 'second-to-first') received += message.length;
        return message;
      },
    });
    void serveRestore({
      channel: served,
      openHistory: async () => ({ folders, content, points }),
      leases: new RestoreLeases(Date.now),
      now: Date.now,
      programVersion: 'test',
      logger: silentLogger,
    });
    return restorer;
  };
  const options = { to: at('restored'), patienceMs: patience.timeoutMs, answerTimeoutMs: patience.timeoutMs };
  const result = await restoreFrom({ nextChannel }, options);
  return { received, result };
}

it('is read whole by a scan: its hash, and chunks that lie one behind the other up to its end', () => {
  const file = at('huge');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, holeBytes);
  fs.appendFileSync(file, tail);
  const fd = fs.openSync(file, 'r');
  // Looking for a border in each byte of the hole takes longer than all else: every chunk is as long as it may be.
  const reading = new ContentReader({ ...fileChunking, bytesMin: fileChunking.bytesMax }).read(fd, size);
  let step = reading.next();
  while (step.done !== true) step = reading.next();
  fs.closeSync(fd);
  const { hash, chunks } = step.value;
  expect(step.value.size).toBe(size);
  expect(hash).toEqual(wholeHash);
  let offset = size;
  for (const chunk of (chunks ?? []).toReversed()) {
    offset -= chunk.length;
    if (offset < holeBytes) break;
    expect(chunk.hash).toEqual(sha256(tail.subarray(offset - holeBytes, offset - holeBytes + chunk.length)));
  }
  expect((chunks ?? []).reduce((sum, { length }) => sum + length, 0)).toBe(size);
});
