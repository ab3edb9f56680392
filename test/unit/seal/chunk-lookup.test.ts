import fs from 'node:fs';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CachedStatements } from '../../../agent/seal/cached-statements.ts';
import { encodeChunkEntry } from '../../../agent/seal/chunk-entry.ts';
import { ChunkIndex } from '../../../agent/seal/chunk-index.ts';
import { ChunkLookup, type ChunkLocation } from '../../../agent/seal/chunk-lookup.ts';
import { openSealDatabase } from '../../../agent/seal/seal-database.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const [packsInAll, chunksPerPack, chunkBytes] = [150, 40, 1000];

let file: string;
let asked: string[];
let database: Database.Database;

beforeEach(() => {
  file = path.join(temporaryDirectory(), 'seal.db');
  asked = [];
  openSealDatabase(file).close();
  database = new Database(file, { verbose: (sql) => void asked.push(String(sql)) });
});
afterEach(() => {
  database.close();
  fs.rmSync(path.dirname(file), { recursive: true });
});

function keyOf(pack: number, at: number): string {
  return seededBytes(`chunk ${at} of pack ${pack}`, 16).toString('latin1');
}

function lengthOf(at: number): number {
  return chunkBytes - at;
}

function offsetOf(at: number): number {
  return at * chunkBytes - (at * (at - 1)) / 2;
}

/** Packs 1 and up, each with its chunks one behind the other. */
function fill(packs: number): void {
  const index = new ChunkIndex(new CachedStatements(database));
  for (let pack = 1; pack <= packs; pack += 1) {
    const entries = Array.from({ length: chunksPerPack }, (_, at) =>
      encodeChunkEntry(keyOf(pack, at), offsetOf(at), lengthOf(at)),
    );
    index.add(pack, Buffer.concat(entries));
  }
  index.settle();
  asked.length = 0;
}

/** As a pack filler asks: what is expected is what is found next. */
function locate(lookup: ChunkLookup, key: string): ChunkLocation | null {
  const expected = lookup.expectedLength();
  const next = lookup.findNext(key);
  if (next !== null && expected !== 0) expect(expected).toBe(next.length);
  return next ?? lookup.find(key);
}

it('asks the database a few times for each pack and once for each new chunk, when an hour has changed little', () => {
  fill(packsInAll);
  const lookup = new ChunkLookup(database, () => true);
  let [found, unknown] = [0, 0];
  for (let pack = 1; pack <= packsInAll; pack += 1) {
    for (let at = 0; at < chunksPerPack; at += 1) {
      // one chunk of each pack has changed
      const changed = at === pack % chunksPerPack;
      const location = locate(lookup, changed ? `changed ${pack}`.padEnd(16) : keyOf(pack, at));
      if (location === null) unknown += 1;
      else found += 1;
    }
  }
  expect([found, unknown]).toEqual([packsInAll * (chunksPerPack - 1), packsInAll]);
  // of a pack: where its first two chunks are, and its entries; once more where one of these two has changed
  expect(asked.length).toBeLessThanOrEqual(4 * packsInAll + unknown);
});

it('asks once for each chunk that lies alone, and never for a whole pack, when chunks of all packs alternate', () => {
  fill(packsInAll);
  const lookup = new ChunkLookup(database, () => true);
  // as after weeks of changes: every other chunk has come with a pack of its own hour
  for (let at = 0; at < chunksPerPack; at += 1) {
    expect(locate(lookup, keyOf(1, at))).toMatchObject({ pack: 1 });
    expect(locate(lookup, keyOf(2 + ((at * 37) % (packsInAll - 1)), at))).not.toBeNull();
  }
  expect(asked.length).toBe(2 * chunksPerPack);
  expect(asked.filter((sql) => sql.includes('pack_chunks'))).toEqual([]);
});

it('goes on with a pack behind chunks that are new, without asking for the next one', () => {
  fill(1);
  const lookup = new ChunkLookup(database, () => true);
  for (const at of [0, 1]) locate(lookup, keyOf(1, at));
  asked.length = 0;
  for (const at of [2, 5, 6, 20])
    expect(locate(lookup, keyOf(1, at))).toMatchObject({ offset: offsetOf(at) });
  expect(asked).toEqual([]);
});

it('finds every chunk where it is, and no other, in whatever order they are asked for', () => {
  const packs = 70;
  fill(packs);
  const chunk = fc.record({
    pack: fc.integer({ min: 1, max: packs + 1 }),
    at: fc.integer({ min: 0, max: chunksPerPack - 1 }),
    count: fc.integer({ min: 1, max: chunksPerPack }),
  });
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 90 }), (runs) => {
      const lookup = new ChunkLookup(database, (pack) => pack % 7 !== 0);
      for (const { pack, at, count } of runs) {
        for (let n = at; n < Math.min(chunksPerPack, at + count); n += 1) {
          const location = locate(lookup, keyOf(pack, n));
          if (pack > packs) expect(location).toBeNull();
          else expect(location).toMatchObject({ pack, offset: offsetOf(n), length: lengthOf(n) });
        }
      }
    }),
    { numRuns: 30 },
  );
});

it('tells nothing of the next chunk from packs that may not be referred to', () => {
  fill(2);
  const lookup = new ChunkLookup(database, (pack) => pack === 2);
  for (const at of [0, 1]) expect(lookup.find(keyOf(1, at))).toMatchObject({ pack: 1 });
  expect(lookup.findNext(keyOf(1, 2))).toBeNull();
  for (const at of [0, 1]) expect(lookup.find(keyOf(2, at))).toMatchObject({ pack: 2 });
  expect(lookup.findNext(keyOf(2, 2))).toMatchObject({ pack: 2, offset: offsetOf(2) });
});

it('tells the length of the chunk behind the one that was found last, until that turns out to be another', () => {
  fill(1);
  const lookup = new ChunkLookup(database, () => true);
  expect(lookup.expectedLength()).toBe(0);
  for (const at of [0, 1]) locate(lookup, keyOf(1, at));
  expect(lookup.expectedLength()).toBe(lengthOf(2));
  expect(lookup.findNext('changed'.padEnd(16))).toBeNull();
  expect(lookup.expectedLength()).toBe(0);
  expect(locate(lookup, keyOf(1, 3))).toMatchObject({ offset: offsetOf(3) });
  expect(lookup.expectedLength()).toBe(lengthOf(4));
  expect(locate(lookup, keyOf(1, chunksPerPack - 1))).not.toBeNull();
  expect(lookup.expectedLength()).toBe(0);
});
