import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { beforeEach, expect, it } from 'vitest';
import { PartialFile } from '../../../agent/restore/partial-file.ts';
import { WriteBack } from '../../../agent/restore/write-back.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { sha256 } from '../../support/store-fixture.ts';
import { until } from '../../support/until.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const kib = 1024;
const content = seededBytes('a partial file', 1500 * kib);
let file: string;

beforeEach(() => {
  file = path.join(temporaryDirectory(), 'partial');
});

const flags = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_TRUNC;

function open(): PartialFile {
  return new PartialFile(fs.openSync(file, flags), content.length, new WriteBack(), {
    onClose: () => {},
    onLost: () => {},
  });
}

type Range = [from: number, to: number];
const put = async (partial: PartialFile, ranges: readonly Range[], bytes = content): Promise<void> => {
  for (const [from, to] of ranges) await partial.write(from, bytes.subarray(from, to));
};

/** Cuts the content into ranges, of which some are large enough to be written by another thread, in any order. */
const anyOrder = fc
  .uniqueArray(fc.integer({ min: 1, max: content.length - 1 }), { maxLength: 12 })
  .map((cuts): Range[] => {
    const ends = [...cuts.toSorted((a, b) => a - b), content.length];
    return ends.map((end, index): Range => [ends[index - 1] ?? 0, end]);
  })
  .chain((ranges) => fc.shuffledSubarray(ranges, { minLength: ranges.length }));

it('knows its content by its hash, in whatever order the ranges came, some of them twice', async () => {
  const wrong = Buffer.alloc(content.length);
  await fc.assert(
    fc.asyncProperty(anyOrder, fc.nat(12), async (ranges, wrongFirst) => {
      const partial = open();
      await put(partial, ranges.slice(0, wrongFirst), wrong);
      await put(partial, ranges);
      expect(await partial.verify(sha256(content))).toBe(true);
      expect(await partial.verify(sha256(wrong))).toBe(false);
      partial.close();
    }),
    { numRuns: 60 },
  );
});

it('has read everything by then that came before its turn: the end reads nothing again', async () => {
  await fc.assert(
    fc.asyncProperty(anyOrder, async (ranges) => {
      const partial = open();
      await put(partial, ranges);
      fs.writeFileSync(file, Buffer.alloc(content.length), { flag: 'r+' });
      expect(await partial.verify(sha256(content))).toBe(true);
      partial.close();
    }),
    { numRuns: 40 },
  );
});

it('knows its content when several ranges are on their way to the disk at once', async () => {
  const partial = open();
  const ranges: Range[] = [
    [600 * kib, content.length],
    [0, 200 * kib],
    [200 * kib, 600 * kib],
  ];
  await Promise.all(ranges.map(async (range) => put(partial, [range])));
  expect(await partial.verify(sha256(content))).toBe(true);
  partial.close();
});

it('does not take a range that is missing, or another content, for the right one', async () => {
  const partial = open();
  await put(partial, [
    [300 * kib, content.length],
    [0, 299 * kib],
  ]);
  expect(await partial.verify(sha256(content))).toBe(false);
  await put(partial, [[299 * kib, 300 * kib]]);
  expect(await partial.verify(sha256(content))).toBe(true);
  await put(partial, [[5, 10]], Buffer.alloc(10));
  expect(await partial.verify(sha256(content))).toBe(false);
  partial.close();
});

const mib = 1024 * 1024;

/** A file of 40 MiB on a disk in the test's hands. */
function openLarge(sync: (fd: number) => Promise<void>) {
  const seen = { closed: false, lost: [] as Error[] };
  const partial = new PartialFile(fs.openSync(file, flags), 40 * mib, new WriteBack(sync), {
    onClose: () => (seen.closed = true),
    onLost: (error) => seen.lost.push(error),
  });
  return { partial, seen };
}

it('gives the disk what was written while more comes, 32 MiB at a time, and is not closed meanwhile', async () => {
  const asked: PromiseWithResolvers<void>[] = [];
  const { partial, seen } = openLarge(async (fd) => {
    expect(fd).toBe(partial.fd);
    asked.push(Promise.withResolvers<void>());
    return asked.at(-1)?.promise;
  });
  const piece = Buffer.alloc(mib);
  for (let at = 0; at < 31; at += 1) await partial.write(at * mib, piece);
  expect(asked).toHaveLength(0);
  for (let at = 31; at < 40; at += 1) await partial.write(at * mib, piece);
  expect(asked).toHaveLength(1);
  partial.close();
  expect(seen.closed).toBe(false);
  expect(fs.fstatSync(partial.fd).size).toBe(40 * mib);
  asked[0]?.resolve();
  await until('it is closed', () => seen.closed);
  expect(seen.lost).toEqual([]);
});

it('says what the disk did not take, also where that is known only behind its end', async () => {
  const failure = Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
  const { partial, seen } = openLarge(async () => {
    throw failure;
  });
  await partial.write(0, Buffer.alloc(40 * mib));
  partial.close();
  await until('it is closed', () => seen.closed);
  expect(seen.lost).toEqual([failure]);
});

it('has one file written at a time, and the next one when there is more of it', async () => {
  const asked: { fd: number; taken: () => void }[] = [];
  const writeBack = new WriteBack(
    async (fd) => new Promise((resolve) => void asked.push({ fd, taken: resolve })),
  );
  const lost = (error: Error): never => {
    throw error;
  };
  const first = writeBack.begin(1, lost);
  expect(writeBack.begin(2, lost)).toBeNull();
  const order: string[] = [];
  const settled = writeBack.settled().then(() => order.push('settled'));
  order.push('taken');
  asked[0]?.taken();
  await Promise.all([first, settled]);
  expect(order).toEqual(['taken', 'settled']);
  expect(writeBack.begin(2, lost)).not.toBeNull();
  expect(asked.map(({ fd }) => fd)).toEqual([1, 2]);
  asked[1]?.taken();
});
