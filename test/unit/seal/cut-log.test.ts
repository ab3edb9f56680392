import fs from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { CutLog, type LoggedEntry } from '../../../agent/seal/cut-log.ts';
import type { RelativePath } from '../../../shared/records/relative-path.ts';
import { SpillFile } from '../../../shared/io/spill-file.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

const mib = 1024 * 1024;

it('gives back what was spilled, from memory and from the file, and leaves no file behind', () => {
  const directory = temporaryDirectory();
  const anyPart = fc.record({ seed: fc.nat(9), bytes: fc.nat(3 * mib), from: fc.nat(), length: fc.nat(mib) });
  fc.assert(
    fc.property(fc.array(anyPart, { minLength: 1, maxLength: 5 }), (parts) => {
      const spilled = new SpillFile(`${directory}/spill.tmp`);
      let expected: Buffer = Buffer.alloc(0);
      for (const { seed, bytes, from, length } of parts) {
        const part = seededBytes(String(seed), bytes);
        spilled.append(part);
        expected = Buffer.concat([expected, part]);
        const at = from % (expected.length + 1);
        const wanted = Math.min(length, expected.length - at);
        expect(spilled.read(at, wanted).equals(expected.subarray(at, at + wanted))).toBe(true);
        expect(() => spilled.read(at, expected.length - at + 1)).toThrowError(RangeError);
      }
      expect(spilled.length).toBe(expected.length);
      expect(fs.readdirSync(directory)).toEqual([]);
      spilled.close();
    }),
    { numRuns: 25 },
  );
});

it('gives back entries in their order, each with its own extents, of which many do not stay in memory', () => {
  const directory = temporaryDirectory();
  const log = new CutLog(directory);
  const counts = [0, 1, 4096, 100_000, 4097];
  const entryOf = (at: number): LoggedEntry['entry'] => ({
    path: `file ${at}` as RelativePath,
    kind: 'file',
    mode: 0o640,
    uid: at,
    gid: 0,
    mtimeNs: BigInt(at) * 10n ** 15n,
    target: null,
    size: null,
  });
  for (const [at, count] of counts.entries()) {
    for (let extent = 0; extent < count; extent += 1) log.addExtents(Float64Array.of(at, extent, 1));
    const file = log.endFile(count, Buffer.alloc(32, at));
    log.addEntry({ entry: entryOf(at), file });
  }
  log.addEntry({ entry: { ...entryOf(9), kind: 'directory' }, file: null });
  const entries = [...log.entries()];
  expect(entries.map(({ entry }) => entry)).toEqual([
    ...counts.map((_, at) => entryOf(at)),
    { ...entryOf(9), kind: 'directory' },
  ]);
  for (const [at, { file }] of entries.entries()) {
    if (file === null) continue;
    expect(Buffer.from(file.hash).equals(Buffer.alloc(32, at))).toBe(true);
    const blocks = [...log.extents(file.extents)];
    expect(Math.max(0, ...blocks.map((block) => block.length))).toBeLessThanOrEqual(3 * 4096);
    const numbers: number[] = [];
    for (const block of blocks) numbers.push(...block);
    expect(numbers.length).toBe(3 * file.size);
    expect(numbers.every((number, index) => number === [at, Math.floor(index / 3), 1][index % 3])).toBe(true);
  }
  log.close();
});
