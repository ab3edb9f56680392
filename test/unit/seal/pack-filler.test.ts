import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import type { ChunkLocation } from '../../../agent/seal/chunk-lookup.ts';
import { PackFiller, type FilledPack } from '../../../agent/seal/pack-filler.ts';
import { chunkEntryBytes } from '../../../agent/seal/chunk-entry.ts';
import { ChunkCutter } from '../../../shared/chunking/chunk-cutter.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

const chunking = { name: 'test', bytesMin: 64, bytesAverage: 256, bytesMax: 1024 };
const packBytesMax = 8192;

afterEach(() => {
  vi.restoreAllMocks();
});

type CutFile = { size: number; hash: Buffer; extents: number[] };

/** What a database would hold. */
class Sealed {
  readonly packs = new Map<number, Buffer>();
  readonly chunks = new Map<string, ChunkLocation>();

  add({ pack, content, chunks }: FilledPack): void {
    this.packs.set(pack, Buffer.from(content));
    const entries = Buffer.from(chunks);
    for (let at = 0; at < entries.length; at += chunkEntryBytes) {
      const location = { pack, offset: entries.readUInt32BE(at + 16), length: entries.readUInt32BE(at + 20) };
      this.chunks.set(entries.subarray(at, at + 16).toString('latin1'), location);
    }
  }

  /** Tells the chunk behind the one that was found last, as the look-up of an agent does; or never, where not `isTelling`. */
  follow(isTelling: boolean, isUsable: (pack: number) => boolean) {
    let behind: { pack: number; offset: number } | null = null;
    const next = (): [string, ChunkLocation] | null => {
      const { pack = 0, offset = 0 } = behind ?? {};
      if (!isTelling || !isUsable(pack)) return null;
      return this.chunks.entries().find(([, at]) => at.pack === pack && at.offset === offset) ?? null;
    };
    const take = (found: ChunkLocation | null): ChunkLocation | null => {
      if (found !== null) behind = { pack: found.pack, offset: found.offset + found.length };
      return found;
    };
    return {
      expectedLength: () => next()?.[1].length ?? 0,
      findNext: (key: string) => {
        const [expected, location] = next() ?? ['', null];
        return expected === key ? take(location) : null;
      },
      find: (key: string) => take(this.chunks.get(key) ?? null),
    };
  }

  copy(): Sealed {
    const copy = new Sealed();
    for (const [pack, content] of this.packs) copy.packs.set(pack, content);
    for (const [key, location] of this.chunks) copy.chunks.set(key, location);
    return copy;
  }

  read({ extents }: CutFile): Buffer {
    const parts: Buffer[] = [];
    for (let at = 0; at < extents.length; at += 3) {
      const [pack = 0, offset = 0, length = 0] = extents.slice(at, at + 3);
      parts.push((this.packs.get(pack) as Buffer).subarray(offset, offset + length));
    }
    return Buffer.concat(parts);
  }
}

type Run = { files: CutFile[]; stats: PackFiller['stats']; packs: number[] };

/** Packs become part of the database `delay` packs later, as when a thread seals them meanwhile. */
function run(
  sealed: Sealed,
  files: readonly Buffer[],
  options: {
    known: Iterable<number>;
    forgotten?: Iterable<number>;
    pieceBytes: number;
    delay: number;
    isTelling?: boolean;
  },
): Run {
  const packs: number[] = [];
  const waiting: FilledPack[] = [];
  let extents: number[] = [];
  const filler: PackFiller = new PackFiller(
    {
      ...sealed.follow(options.isTelling ?? true, (pack) => filler.isUsable(pack)),
      onPack: (pack) => {
        packs.push(pack.pack);
        expect(pack.content.length).toBeLessThanOrEqual(packBytesMax);
        waiting.push(pack);
      },
      onExtents: (block) => extents.push(...block),
      takeRoom: () => new ArrayBuffer(packBytesMax),
    },
    {
      secret: Buffer.alloc(32, 7),
      chunking,
      known: new Set(options.known),
      forgotten: new Set(options.forgotten ?? []),
      firstPack: sealed.packs.size + 1,
      packBytesMax,
    },
  );
  const settle = (left: number): void => {
    while (waiting.length > left) {
      const pack = waiting.shift() as FilledPack;
      sealed.add(pack);
      filler.committed(pack.pack);
    }
  };
  const cut = files.map((file) => {
    for (let at = 0; at < file.length; at += options.pieceBytes) {
      filler.write(file.subarray(at, at + options.pieceBytes));
      settle(options.delay);
    }
    const ended = filler.endFile();
    const whole = { ...ended, extents };
    extents = [];
    return whole;
  });
  filler.flush();
  settle(0);
  return { files: cut, stats: filler.stats, packs };
}

/** Files that share parts with each other, by a seed. */
const anyFiles = fc
  .array(
    fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 3000 })), { maxLength: 6 }),
    {
      minLength: 1,
      maxLength: 5,
    },
  )
  .map((files) =>
    files.map((parts) => Buffer.concat(parts.map(([seed, length]) => seededBytes(`part ${seed}`, length)))),
  );
const anyOptions = { pieceBytes: fc.integer({ min: 1, max: 5000 }), delay: fc.integer({ min: 0, max: 3 }) };

it('gives back every file from its extents, whatever the pieces and however late packs are sealed', () => {
  fc.assert(
    fc.property(
      anyFiles,
      anyFiles,
      anyOptions.pieceBytes,
      anyOptions.delay,
      (first, second, pieceBytes, delay) => {
        const sealed = new Sealed();
        const before = run(sealed, first, { known: [], pieceBytes, delay });
        const after = run(sealed, second, { known: before.packs, pieceBytes, delay });
        for (const [files, cut] of [
          [first, before.files],
          [second, after.files],
        ] as const) {
          for (const [at, file] of files.entries()) {
            const result = cut[at] as CutFile;
            expect(result.size).toBe(file.length);
            expect(result.hash.equals(createHash('sha256').update(file).digest())).toBe(true);
            expect(sealed.read(result).equals(file)).toBe(true);
          }
        }
      },
    ),
  );
});

it('seals nothing again that is known, and nothing twice in one run', () => {
  fc.assert(
    fc.property(anyFiles, anyOptions.pieceBytes, anyOptions.delay, (files, pieceBytes, delay) => {
      const sealed = new Sealed();
      const first = run(sealed, [...files, ...files], { known: [], pieceBytes, delay });
      const distinct = [...sealed.chunks.values()].reduce((sum, { length }) => sum + length, 0);
      expect(first.stats.newBytes).toBe(distinct);
      const again = run(sealed, files, { known: first.packs, pieceBytes: 777, delay });
      expect(again.stats.newBytes).toBe(0);
      expect(again.packs).toEqual([]);
    }),
  );
});

it('cuts alike whether or not it is told which chunk is expected, and searches no end of one that is', () => {
  const nextCut = vi.spyOn(ChunkCutter.prototype, 'next');
  fc.assert(
    fc.property(anyFiles, anyFiles, anyOptions.pieceBytes, (first, second, pieceBytes) => {
      const sealed = new Sealed();
      const { packs } = run(sealed, [Buffer.concat(first)], { known: [], pieceBytes, delay: 0 });
      const content = Buffer.concat([...first, ...second]);
      const [told, untold] = [true, false].map((isTelling) =>
        run(sealed.copy(), [content], { known: packs, pieceBytes, delay: 0, isTelling }),
      );
      expect(told).toEqual(untold);
    }),
  );
  const content = seededBytes('content', 60_000);
  const sealed = new Sealed();
  const { packs } = run(sealed, [content], { known: [], pieceBytes: 60_000, delay: 0 });
  nextCut.mockClear();
  run(sealed, [content], { known: packs, pieceBytes: 60_000, delay: 0 });
  // the first of each pack, and one more at its end where nothing is expected
  expect(nextCut.mock.calls.length).toBeLessThanOrEqual(2 * packs.length);
});

it('refers to no pack that is not known or is forgotten, and counts what it seals again', () => {
  const content = seededBytes('content', 40_000);
  const sealed = new Sealed();
  const first = run(sealed, [content], { known: [], pieceBytes: 1000, delay: 0 });
  const [forgotten = 0, unknown = 0, ...rest] = first.packs;
  const options = { known: [forgotten, ...rest], forgotten: [forgotten], pieceBytes: 1000, delay: 1 };
  const second = run(sealed, [content, content], options);
  const used = new Set((second.files[0] as CutFile).extents.filter((_, at) => at % 3 === 0));
  expect(used.has(forgotten)).toBe(false);
  expect(used.has(unknown)).toBe(false);
  expect(second.stats.resealedBytes).toBe((sealed.packs.get(forgotten) as Buffer).length);
  expect(second.stats.newBytes).toBe((sealed.packs.get(unknown) as Buffer).length);
  expect(sealed.read(second.files[1] as CutFile).equals(content)).toBe(true);
});

it('expects nothing in the middle of a chunk', () => {
  const cutter = new ChunkCutter(chunking);
  for (let seed = 0; seed < 20; seed += 1) {
    const content = seededBytes(`content ${seed}`, 4000);
    const firstEnd = cutter.next(content, 0);
    const secondEnd = cutter.next(content, firstEnd);
    const sealed = new Sealed();
    const { packs } = run(sealed, [content], { known: [], pieceBytes: 4000, delay: 0 });
    // the chunk that is expected begins with a piece, but not where a chunk does
    const [first, second] = [content.subarray(0, firstEnd), content.subarray(firstEnd, secondEnd)];
    const changed = Buffer.concat([first, seededBytes('inserted', 10), second]);
    const again = run(sealed, [changed], { known: packs, pieceBytes: firstEnd + 10, delay: 0 });
    expect(sealed.read(again.files[0] as CutFile).equals(changed)).toBe(true);
  }
});
