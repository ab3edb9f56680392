import fs from 'node:fs';
import fc from 'fast-check';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type Database from 'better-sqlite3';
import { CachedStatements } from '../../../agent/seal/cached-statements.ts';
import { encodeChunkEntry } from '../../../agent/seal/chunk-entry.ts';
import { ChunkIndex } from '../../../agent/seal/chunk-index.ts';
import { openSealDatabase } from '../../../agent/seal/seal-database.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

let directory: string;
let database: Database.Database;
let sql: CachedStatements;
let index: ChunkIndex;

beforeAll(() => {
  directory = temporaryDirectory();
  database = openSealDatabase(path.join(directory, 'seal.db'));
  sql = new CachedStatements(database);
  index = new ChunkIndex(sql);
});
afterAll(() => {
  database.close();
  fs.rmSync(directory, { recursive: true });
});

const keyOf = (chunk: number): string => seededBytes(`chunk ${chunk}`, 16).toString('latin1');

type Row = { id: Buffer; pack: number; offset: number; length: number };

/** The pack and offset of each chunk that can be found by id. */
function found(): Map<string, [number, number]> {
  const rows = sql.all<Row>('SELECT id, pack, offset, length FROM chunks');
  return new Map(rows.map(({ id, pack, offset }) => [id.toString('latin1'), [pack, offset]]));
}

const anyPacks = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 30 }), {
  maxLength: 12,
});

it('finds each chunk in the last pack that has it, and none of packs that are dropped', () => {
  fc.assert(
    fc.property(anyPacks, fc.func(fc.boolean()), fc.func(fc.boolean()), (packs, settles, drops) => {
      sql.run('DELETE FROM chunks');
      sql.run('DELETE FROM pack_chunks');
      const expected = new Map<string, [number, number]>();
      for (const [at, chunks] of packs.entries()) {
        const entries = chunks.map((chunk, n) => encodeChunkEntry(keyOf(chunk), n * 10, 10));
        index.add(at + 1, Buffer.concat(entries));
        for (const [n, chunk] of chunks.entries()) expected.set(keyOf(chunk), [at + 1, n * 10]);
        if (settles(at)) index.settle();
      }
      index.settle();
      expect(index.pending()).toBe(0);
      expect(found()).toEqual(expected);
      const dropped = packs.map((_, at) => at + 1).filter((pack) => drops(pack));
      index.drop(`SELECT value FROM json_each('${JSON.stringify(dropped)}')`);
      for (const [key, [pack]] of expected) if (dropped.includes(pack)) expected.delete(key);
      expect(found()).toEqual(expected);
      expect(sql.all<{ pack: number }>('SELECT pack FROM pack_chunks').map(({ pack }) => pack)).toEqual(
        packs.map((_, at) => at + 1).filter((pack) => !dropped.includes(pack)),
      );
    }),
  );
});

it('finds nothing of a pack before it is settled, and drops it all the same', () => {
  index.add(1000, encodeChunkEntry(keyOf(1000), 0, 10));
  expect(index.pending()).toBe(1);
  expect(found().has(keyOf(1000))).toBe(false);
  index.drop('SELECT ?', 1000);
  expect(index.pending()).toBe(0);
  index.settle();
  expect(found().has(keyOf(1000))).toBe(false);
});
