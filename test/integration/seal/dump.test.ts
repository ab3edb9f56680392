import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { CodedError } from '../../../shared/errors/coded-error.ts';
import type { RelativePath } from '../../../shared/records/relative-path.ts';
import { packName } from '../../../shared/sealing/object-name.ts';
import {
  inPieces,
  createTestKey,
  HeldObjects,
  readVersion,
  SealedBench,
  type TestKey,
} from '../../support/sealed-bench.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

let key: TestKey;
let home: string;
let bench: SealedBench;

beforeAll(async () => {
  key = await createTestKey('owner');
});
beforeEach(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-seal-'));
  bench = await SealedBench.create(home, [key.recipient]);
});
afterEach(() => {
  bench.close();
  fs.rmSync(home, { recursive: true, force: true });
});

const read = async (held: HeldObjects, name = held.latest()) =>
  readVersion(held.files, name, {
    unsealer: key.unsealer,
    agentKeyPem: bench.identity.keyPem,
    folder: bench.folder,
  });

const mib = 1024 * 1024;

it('makes a version that a receiver reads back byte for byte, and sends next to nothing when nothing changed', async () => {
  const content = seededBytes('dump', 20 * mib + 17);
  const held = new HeldObjects('receiver');
  const first = await bench.dump(content);
  expect(first).toMatchObject({ number: 1, plainBytes: content.length, newBytes: content.length });
  held.pull(bench.feed);
  const version = await read(held);
  expect(version.files.get('database.dump')?.equals(content)).toBe(true);
  expect(version.record).toMatchObject({ number: 1, previous: null });
  expect(version.entries).toMatchObject([
    {
      path: 'database.dump',
      size: content.length,
      mode: 0o600,
      mtimeNs: 1_700_000_000_000_000_000n,
      hash: createHash('sha256').update(content).digest(),
    },
  ]);
  // six packs of 4 MiB, whatever the number of chunks
  const [entry] = version.entries;
  expect(entry?.type === 'file' ? entry.extents.length : 0).toBe(6);

  const before = held.bytesPulled;
  const second = await bench.dump(content);
  held.pull(bench.feed);
  expect(second).toMatchObject({ number: 2, newBytes: 0, epoch: first.epoch });
  expect(held.bytesPulled - before).toBeLessThan(12_000);
  const again = await read(held);
  expect(again.record.number).toBe(2);
  expect(again.files.get('database.dump')?.equals(content)).toBe(true);
});

/** A database of `rows` rows; `hour` changes some of them and adds a few. */
function churned(rows: string[], hour: number): string[] {
  const random = seededBytes(`hour ${hour}`, 4096);
  const changed = [...rows];
  for (let at = 0; at < 60; at += 1) {
    const row = random.readUInt32LE(at * 8) % changed.length;
    changed[row] = `${row}\t${seededBytes(`row ${hour} ${row}`, 600).toString('base64')}\n`;
  }
  for (let at = 0; at < 20; at += 1) {
    changed.push(`${changed.length}\t${seededBytes(`new ${hour} ${at}`, 600).toString('base64')}\n`);
  }
  return changed;
}

it('restores each of 24 dumps with churn byte for byte, over restarts, and sends little for each', async () => {
  const held = new HeldObjects('receiver');
  let rows = Array.from(
    { length: 8000 },
    (_, row) => `${row}\t${seededBytes(`row ${row}`, 600).toString('base64')}\n`,
  );
  const expected = new Map<string, Buffer>();
  const sent: number[] = [];
  for (let hour = 0; hour < 24; hour += 1) {
    const content = Buffer.from(rows.join(''));
    const before = held.bytesPulled;
    await bench.dump(content);
    if (hour % 7 === 3) bench.reopen();
    // now and then the receiver is away for some hours
    if (hour % 5 !== 2) held.pull(bench.feed);
    sent.push(held.bytesPulled - before);
    expected.set(`${hour + 1}`.padStart(10, '0'), content);
    rows = churned(rows, hour);
  }
  held.pull(bench.feed);
  const names = [...held.files.keys()].filter((name) => name.endsWith('.json')).sort();
  expect(names).toHaveLength(24);
  let previous: string | null = null;
  for (const name of names) {
    const version = await read(held, name);
    expect(version.record.previous).toBe(previous);
    previous = createHash('sha256')
      .update(held.files.get(name) as Buffer)
      .digest('hex');
    const content = expected.get(name.slice(9, 19)) as Buffer;
    expect(version.files.get('database.dump')?.equals(content)).toBe(true);
  }
  const [first = 0, ...later] = sent;
  expect(first).toBeGreaterThan(4 * mib);
  expect(later.reduce((sum, bytes) => sum + bytes, 0) / later.length).toBeLessThan(first / 3);
  // everything was taken: nothing waits any more
  bench.sealed.keeper.settle();
  expect(bench.spoolNames()).toEqual([]);
});

it('makes no version of a source that fails, and the next run sends only the rest', async () => {
  const content = seededBytes('large', 40 * mib);
  const held = new HeldObjects('receiver');
  bench.content = async function* () {
    yield* inPieces(content.subarray(0, 36 * mib));
    throw new CodedError('SOURCE_FAILED', 'pg_dump failed: the server closed the connection');
  };
  await expect(bench.sealed.dump(new AbortController().signal)).rejects.toMatchObject({
    code: 'SOURCE_FAILED',
  });
  held.pull(bench.feed);
  expect([...held.files.keys()].filter((name) => name.startsWith('versions/'))).toEqual([]);
  expect(bench.sealed.index.folder().failure).toContain('the server closed the connection');
  bench.reopen();

  const second = await bench.dump(content);
  expect(second).toMatchObject({ number: 1, plainBytes: content.length });
  // one pack may have been under way
  expect(second.newBytes).toBeLessThan(content.length - 15 * mib);
  held.pull(bench.feed);
  expect((await read(held)).files.get('database.dump')?.equals(content)).toBe(true);
  expect(bench.sealed.index.folder().failure).toBeNull();
});

it('seals again what is left of a pack of which less than a quarter is used, as far as the dump before had as much that was new', async () => {
  const held = new HeldObjects('receiver');
  const namedPacks = async (): Promise<string[]> => {
    held.pull(bench.feed);
    return (await read(held)).record.packs.map(([hash]) => hash);
  };
  const whole = seededBytes('mostly deleted later', 3 * mib);
  await bench.dump(whole);
  const sizeOf = (hash: string): number => held.files.get(packName(hash))?.length ?? 0;
  const large = (await namedPacks()).find((hash) => sizeOf(hash) > 2 * mib) ?? '';

  const left = whole.subarray(0, mib / 2);
  const little = Buffer.concat([left, seededBytes('a little', mib / 10)]);
  await bench.dump(little);
  // what came anew was less than what sealing again would cost
  expect(await bench.dump(little)).toMatchObject({ newBytes: 0, resealedBytes: 0 });
  expect(await namedPacks()).toContain(large);

  const more = Buffer.concat([little, seededBytes('more', mib)]);
  expect((await bench.dump(more)).resealedBytes).toBe(0);
  const { newBytes, resealedBytes } = await bench.dump(more);
  expect(newBytes).toBe(0);
  expect(resealedBytes).toBeGreaterThan(0.9 * left.length);
  expect(resealedBytes).toBeLessThan(1.1 * left.length);
  expect(await namedPacks()).not.toContain(large);
  expect((await read(held)).files.get('database.dump')?.equals(more)).toBe(true);
  expect(await bench.dump(more)).toMatchObject({ newBytes: 0, resealedBytes: 0 });
});

it('cuts a folder into chunks of the same length for its whole life, however large it becomes', async () => {
  const content = seededBytes('grows', 3 * mib);
  await bench.dump(content);
  bench.facts = {
    kind: 'postgres',
    serverVersion: '15.14',
    dumpVersion: '15.14',
    database: 'mastodon',
    databaseBytes: 200 * 1024 ** 3,
    schemaMigration: null,
    tables: [],
  };
  bench.reopen();
  expect(await bench.dump(content)).toMatchObject({ newBytes: 0 });
  // and the version tells how large it was
  const held = new HeldObjects('receiver');
  held.pull(bench.feed);
  expect((await read(held)).root.source).toEqual(bench.facts);
});

it('remembers what could not be read, over a restart, until it can be', async () => {
  const facts = { kind: 'paths', files: 1, directories: 0, symlinks: 0, bytes: 9, specialFiles: 0 } as const;
  const unread = { path: 'etc/shadow' as RelativePath, reason: 'EACCES' };
  bench.facts = { ...facts, skippedFiles: 120, skipped: [unread] };
  const lacking = { count: 120, paths: ['/etc/shadow: EACCES'] };
  expect((await bench.dump(Buffer.from('something'))).unreadable).toEqual(lacking);
  bench.reopen();
  expect(bench.sealed.index.unreadable()).toEqual(lacking);
  bench.facts = { ...facts, skippedFiles: 0, skipped: [] };
  await bench.dump(Buffer.from('something'));
  expect(bench.sealed.index.unreadable()).toEqual({ count: 0, paths: [] });
});

it('begins a new epoch with other recipients, to whom alone it is readable', async () => {
  const content = seededBytes('recipients', 3 * mib);
  const held = new HeldObjects('receiver');
  const first = await bench.dump(content);
  held.pull(bench.feed);
  const secretOf = (): string | undefined => bench.sealed.index.epoch()?.secret.toString('hex');
  const secret = secretOf();
  const other = await createTestKey('other');
  bench.recipients = [other.recipient];
  const second = await bench.dump(content);
  held.pull(bench.feed);
  expect(secretOf()).not.toBe(secret);
  expect(second).toMatchObject({ number: 2, newBytes: content.length });
  expect(second.epoch).not.toBe(first.epoch);
  await expect(read(held)).rejects.toMatchObject({ code: 'KEY_WRONG' });
  const options = { unsealer: other.unsealer, agentKeyPem: bench.identity.keyPem, folder: bench.folder };
  const version = await readVersion(held.files, held.latest(), options);
  expect(version.files.get('database.dump')?.equals(content)).toBe(true);
  expect(version.record.recipients).toEqual([other.recipient.encryptionKeyId]);
});

it('carries everything again for a receiver that is new, and only once', async () => {
  const content = seededBytes('receivers', 3 * mib);
  const old = new HeldObjects('old');
  await bench.dump(content);
  old.pull(bench.feed);
  bench.sealed.keeper.settle();
  const fresh = new HeldObjects('fresh');
  fresh.pull(bench.feed);
  expect(fresh.files.size).toBe(0);
  // nothing was taken yet: a position of sequence 0
  bench.feed.acknowledged('fresh', { indexId: bench.feed.indexId(), sequence: 0, token: Buffer.alloc(32) });
  expect((await bench.dump(content)).newBytes).toBe(content.length);
  for (const held of [old, fresh]) {
    held.pull(bench.feed);
    expect((await read(held)).files.get('database.dump')?.equals(content)).toBe(true);
  }
  expect((await bench.dump(content)).newBytes).toBe(0);
});

it('seals again what a receiver reports missing, or announces it again while it is in the spool', async () => {
  const content = seededBytes('missing', 3 * mib);
  const [a, b] = [new HeldObjects('a'), new HeldObjects('b')];
  await bench.dump(content);
  a.pull(bench.feed);
  b.pull(bench.feed);
  bench.sealed.keeper.settle();
  const { record } = await read(a);
  const packs = record.packs.map(([hash]) => Buffer.from(hash, 'hex'));
  bench.feed.reportMissing('b', packs);
  const healed = await bench.dump(content);
  expect(healed.newBytes).toBe(content.length);
  // still in the spool: taken by a, not by b, and then lost by a
  a.pull(bench.feed);
  const lost = await read(a);
  for (const [hash] of lost.record.packs) a.files.delete(packName(hash));
  bench.feed.reportMissing(
    'a',
    lost.record.packs.map(([hash]) => Buffer.from(hash, 'hex')),
  );
  expect(bench.sealed.holds('a', healed.sequence)).toBe(false);
  a.pull(bench.feed);
  expect((await read(a)).files.get('database.dump')?.equals(content)).toBe(true);
  expect(bench.sealed.holds('a', bench.feed.completeThrough())).toBe(true);
  // what is reported and not known is ignored
  bench.feed.reportMissing('a', [Buffer.alloc(32)]);
});

it('counts a copy when the record of the version is durable there, not when its packs are', async () => {
  const { sequence } = await bench.dump(seededBytes('copy', mib));
  const acknowledge = (upTo: number): void =>
    bench.feed.acknowledged('receiver', {
      indexId: bench.feed.indexId(),
      sequence: upTo,
      token: Buffer.alloc(32),
    });
  // the record comes last, its signature before it
  acknowledge(sequence - 2);
  expect(bench.sealed.holds('receiver', sequence)).toBe(false);
  acknowledge(sequence);
  expect(bench.sealed.holds('receiver', sequence)).toBe(true);
});

it('begins anew when the database was lost, and what lies in the spool without it goes', async () => {
  const content = seededBytes('lost', 2 * mib);
  const first = await bench.dump(content);
  bench.close();
  for (const suffix of ['', '-wal', '-shm']) fs.rmSync(path.join(home, `seal.db${suffix}`), { force: true });
  bench = SealedBench.reuse(home, [key.recipient], bench.identity);
  expect(bench.spoolNames()).toEqual([]);
  const second = await bench.dump(content);
  expect(second).toMatchObject({ number: 1, newBytes: content.length });
  expect(second.epoch).not.toBe(first.epoch);
});

it('refers to nothing that was sealed before once a receiver knows of a later history', async () => {
  const content = seededBytes('rolled back', 2 * mib);
  const held = new HeldObjects('receiver');
  const first = await bench.dump(content);
  held.pull(bench.feed);
  bench.close();
  const snapshot = fs.readFileSync(path.join(home, 'seal.db'));
  bench.reopen();
  await bench.dump(content);
  held.pull(bench.feed);
  const position = bench.sealed.index.announcements.position();
  bench.close();
  for (const suffix of ['-wal', '-shm']) fs.rmSync(path.join(home, `seal.db${suffix}`), { force: true });
  fs.writeFileSync(path.join(home, 'seal.db'), snapshot);
  bench.reopen();
  expect(bench.feed.matches(position)).toBe(false);
  const indexId = bench.feed.indexId();
  await bench.feed.renewIndex();
  expect(bench.feed.indexId().equals(indexId)).toBe(false);
  expect(bench.feed.acknowledgedBy('receiver')).toBe(0);
  const anew = await bench.dump(content);
  expect(anew.newBytes).toBe(content.length);
  expect(anew.epoch).not.toBe(first.epoch);
  held.sequence = 0;
  held.pull(bench.feed);
  expect((await read(held)).files.get('database.dump')?.equals(content)).toBe(true);
});
