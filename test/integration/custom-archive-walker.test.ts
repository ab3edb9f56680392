import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CustomArchiveWalker } from '../../agent/source/custom-archive-walker.ts';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { startPostgres, type PostgresServer } from '../support/postgres.ts';

let server: PostgresServer;
let directory: string;
let small: Buffer;
let compressed: Buffer;
let empty: Buffer;
let withOffsets: Buffer;

beforeAll(async () => {
  server = await startPostgres();
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-walker-'));
  server.createDatabase('small');
  server.sql(
    'small',
    `create table words (id bigint primary key, word text, raw bytea);
     insert into words select i, repeat('wörd ', i % 40) || E'\\n\\t', decode(md5(i::text), 'hex') from generate_series(1, 40) i;
     create table empty_one (id int references words);
     create table last_one (id int); insert into last_one values (1), (-1), (null);
     create materialized view counted as select count(*) from words;
     select lo_from_bytea(0, decode(repeat('00ff', 9000), 'hex')), lo_from_bytea(0, ''), lo_from_bytea(0, '\\x01');`,
  );
  server.createDatabase('empty');
  const dump = (name: string, ...args: string[]) =>
    server.run('pg_dump', ['-Fc', ...args, '-d', server.connection(name)]);
  small = dump('small', '-Z0');
  compressed = dump('small', '-Z6');
  empty = dump('empty', '-Z0');
  const file = path.join(directory, 'archive');
  server.runInto(file, 'pg_dump', ['-Fc', '-Z0', '-d', server.connection('small')]);
  withOffsets = fs.readFileSync(file);
});

afterAll(async () => {
  fs.rmSync(directory, { recursive: true, force: true });
  await server.stop();
});

/** What the walker says of these bytes, pushed in pieces of that size: null when they are a whole archive. */
function verdict(bytes: Buffer, pieceBytes = bytes.length): string | null {
  const walker = new CustomArchiveWalker();
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes) walker.push(bytes.subarray(at, at + pieceBytes));
    walker.finish();
  } catch (error) {
    if (!isCoded(error, 'SOURCE_FAILED')) throw error;
    expect(walker.complete).toBe(false);
    return error.message;
  }
  expect(walker.complete).toBe(true);
  return null;
}

describe('the framing of a custom-format archive', () => {
  it('is complete for what pg_dump prints, in pieces of any size', () => {
    for (const archive of [small, compressed, empty, withOffsets]) {
      for (const pieceBytes of [1, 2, 3, 5, 7, 64, 4096, archive.length]) {
        expect(verdict(archive, pieceBytes)).toBe(null);
      }
    }
  });

  it('tells every truncation, at every byte', () => {
    for (const archive of [small, compressed, empty, withOffsets]) {
      // Byte by byte: at no length before the last may it pass for whole.
      const walker = new CustomArchiveWalker();
      for (let length = 0; length < archive.length; length++) {
        if (walker.complete)
          throw new Error(`cut to ${length} of ${archive.length} bytes it passes for whole`);
        walker.push(archive.subarray(length, length + 1));
      }
      expect(walker.complete).toBe(true);
      for (
        let length = 0;
        length < archive.length;
        length += length < 200 || length > archive.length - 200 ? 1 : 61
      ) {
        expect(verdict(archive.subarray(0, length))).not.toBe(null);
      }
    }
  });

  it('tells a truncation whatever the pieces are', () => {
    fc.assert(
      fc.property(fc.nat(small.length - 1), fc.integer({ min: 1, max: 9000 }), (length, pieceBytes) => {
        expect(verdict(small.subarray(0, length), pieceBytes)).not.toBe(null);
      }),
    );
  });

  it('tells what a terminal in between does to line breaks', () => {
    const text = small.toString('latin1').replaceAll('\n', '\r\n');
    // In which words depends on the time of the dump, whose seconds may be a line break as well.
    expect(verdict(Buffer.from(text, 'latin1'))).not.toBe(null);
  });

  it('tells bytes in front and behind', () => {
    expect(verdict(Buffer.concat([Buffer.from('bash: pg_dump: command not found\n'), small]))).toMatch(
      /does not begin with PGDMP; it begins with "bash: pg_dump: command not found"/,
    );
    expect(verdict(Buffer.concat([small, Buffer.from('\n')]))).toMatch(/goes on after its last data block/);
    expect(verdict(Buffer.concat([small, small]))).toMatch(/goes on after/);
    expect(verdict(Buffer.from('--\n-- PostgreSQL database dump\n'))).toMatch(/does not begin with PGDMP/);
  });

  it('names a format that it does not know instead of guessing', () => {
    const newer = Buffer.from(small);
    newer[6] = 17;
    expect(verdict(newer)).toMatch(/version 1\.17 is not known/);
  });

  it('loses no byte out of the middle unnoticed', () => {
    const data = small.indexOf(Buffer.from('wörd wörd'));
    for (let at = data; at < Math.min(data + 600, small.length); at++) {
      const cut = Buffer.concat([small.subarray(0, at), small.subarray(at + 1)]);
      expect(verdict(cut)).not.toBe(null);
    }
  });

  it('is walked at 500 MB/s and more where its bytes are added up at 1,500', () => {
    server.createDatabase('large');
    server.sql(
      'large',
      `create table rows as select i as id, md5(i::text) || repeat(md5((i * 7)::text), (i % 25)::int) as text from generate_series(1, 200000) i`,
    );
    const bytes = server.run('pg_dump', ['-Fc', '-Z0', '-d', server.connection('large')]);
    // Processor time: others may use the machine meanwhile.
    const bytesPerMicrosecond = (work: () => void): number => {
      const rounds = Array.from({ length: 5 }, () => {
        const before = process.cpuUsage();
        work();
        return bytes.length / process.cpuUsage(before).user;
      });
      return Math.max(...rounds);
    };
    const walked = bytesPerMicrosecond(() => expect(verdict(bytes, 65_536)).toBe(null));
    const added = bytesPerMicrosecond(() => {
      let sum = 0;
      for (const byte of bytes) sum += byte;
      expect(sum).toBeGreaterThan(bytes.length);
    });
    expect(walked).toBeGreaterThan(added / 3);
  });
});
