import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { parseRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';
import { extentsLength } from '../../shared/sealing/extents.ts';
import type { ManifestEntry } from '../../shared/sealing/manifest-entry.ts';
import { readManifest } from '../../shared/sealing/manifest-reader.ts';
import { ManifestWriter } from '../../shared/sealing/manifest-writer.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';

const header = { folder: 'secrets', createdAt: '2026-11-21T08:40:00.000Z' };
const headerLine = JSON.stringify({ format: 'mastokeep-manifest-1', ...header });
const pack = (n: number): string => n.toString(16).padStart(64, '0');
const invalid: unknown = expect.objectContaining({ code: 'MANIFEST_INVALID' });

async function read(bytes: Uint8Array | Iterable<Uint8Array>): Promise<ManifestEntry[]> {
  const pieces = bytes instanceof Uint8Array ? [bytes] : bytes;
  return Array.fromAsync(readManifest(pieces, { folder: 'secrets' }));
}

function write(entries: readonly ManifestEntry[]): Buffer {
  const writer = new ManifestWriter(header);
  return Buffer.concat([writer.begin(), ...entries.map((entry) => writer.entry(entry))]);
}

const segment = fc
  .oneof(
    fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    fc
      .string({ minLength: 1, maxLength: 10, unit: 'grapheme' })
      .map((text) => Buffer.from(text).toString('latin1')),
  )
  .filter((text) => !/[\0/]/.test(text) && text !== '.' && text !== '..');
const path = fc
  .array(segment, { minLength: 1, maxLength: 3 })
  .map((segments) => parseRelativePath(Buffer.from(segments.join('/'), 'latin1')));
const common = {
  path,
  uid: fc.nat({ max: 0xffffffff }),
  gid: fc.nat({ max: 0xffffffff }),
  mtimeNs: fc.bigInt({ min: -(10n ** 18n), max: 9n * 10n ** 18n }),
};
const mode = fc.nat({ max: 0o7777 });
const extent = fc.record({
  pack: fc.nat({ max: 5 }).map(pack),
  offset: fc.nat({ max: 1000 }),
  length: fc.integer({ min: 1, max: 1000 }),
});
const file = fc
  .record({
    ...common,
    type: fc.constant('file' as const),
    mode,
    hash: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
    extents: fc.array(extent, { maxLength: 5 }),
  })
  .map((entry) => Object.assign(entry, { size: extentsLength(entry.extents) }));
const directory = fc.record({ ...common, type: fc.constant('directory' as const), mode });
const symlink = fc.record({
  ...common,
  type: fc.constant('symlink' as const),
  target: fc
    .uint8Array({ minLength: 1, maxLength: 30 })
    .filter((bytes) => !bytes.includes(0))
    .map((bytes) => Buffer.from(bytes)),
});
/** Trees: no path twice, none below one that is no directory. */
const trees = fc
  .uniqueArray(fc.oneof(file, directory, symlink), { selector: (entry) => entry.path })
  .map((entries: ManifestEntry[]) => {
    const leaves = entries.filter(({ type }) => type !== 'directory').map((entry) => entry.path);
    return entries.filter((entry) => !leaves.some((leaf) => entry.path.startsWith(`${leaf}/`)));
  });

describe('a manifest', () => {
  it('gives back every tree, however its bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(trees, fc.integer({ min: 1, max: 400 }), async (entries, pieceBytes) => {
        const bytes = write(entries);
        expect(await read(bytes)).toEqual(entries);
        const pieces: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += pieceBytes)
          pieces.push(bytes.subarray(at, at + pieceBytes));
        expect(await read(pieces)).toEqual(entries);
      }),
    );
  });

  it('reads the same as documented', async () => {
    const bytes = write([
      {
        type: 'file',
        path: parseRelativePath(Buffer.from('.env.production')),
        size: 30,
        mode: 0o600,
        uid: 991,
        gid: 991,
        mtimeNs: 1_700_000_000_123_456_789n,
        hash: Buffer.alloc(32, 0xab),
        extents: [
          { pack: pack(1), offset: 5, length: 20 },
          { pack: pack(2), offset: 0, length: 10 },
        ],
      },
      {
        type: 'symlink',
        path: 'l\xff' as RelativePath,
        uid: 0,
        gid: 0,
        mtimeNs: 0n,
        target: Buffer.from('t'),
      },
    ]);
    expect(bytes.toString('utf8').split('\n')).toEqual([
      headerLine,
      `{"packs":["${pack(1)}","${pack(2)}"]}`,
      `{"path":".env.production","type":"file","uid":991,"gid":991,"mtimeNs":"1700000000123456789","size":30,"mode":384,"sha256":"${'ab'.repeat(32)}","extents":[[0,5,20],[1,0,10]]}`,
      '{"pathBase64":"bP8=","type":"symlink","uid":0,"gid":0,"mtimeNs":"0","target":"t"}',
      '',
    ]);
    expect((await read(bytes)).length).toBe(2);
  });

  it('splits long lists of packs and extents over lines', async () => {
    const count = sealedLimits.manifestExtentsPerLine * 2 + 10;
    const extents = Array.from({ length: count }, (_, at) => ({
      pack: pack(at % 5000),
      offset: at,
      length: 1,
    }));
    const entry: ManifestEntry = {
      type: 'file',
      path: 'dump' as RelativePath,
      size: count,
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtimeNs: 0n,
      hash: Buffer.alloc(32),
      extents,
    };
    const bytes = write([entry]);
    const lines = bytes.toString('utf8').split('\n');
    expect(lines.length).toBe(1 + 2 + 3 + 1);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(sealedLimits.manifestLineBytesMax);
    expect(await read(bytes)).toEqual([entry]);
  });

  it('keeps the order of packs that it is given, and lists each once', () => {
    const writer = new ManifestWriter(header);
    writer.begin();
    expect(writer.packs([pack(3), pack(1), pack(3)]).toString()).toBe(
      `{"packs":["${pack(3)}","${pack(1)}"]}\n`,
    );
    expect(writer.packs([pack(1)]).length).toBe(0);
  });

  it('is not written for a file whose extents do not make its size', () => {
    const wrong = { ...fc.sample(file, 1)[0], size: 1_000_000 } as ManifestEntry;
    expect(() => write([wrong])).toThrowError(invalid);
  });
});

describe('reading refuses', () => {
  const packsLine = JSON.stringify({ packs: [pack(0)] });
  const fileLine = (changes: object = {}): string =>
    JSON.stringify({
      path: 'a',
      type: 'file',
      uid: 0,
      gid: 0,
      mtimeNs: '0',
      size: 10,
      mode: 420,
      sha256: pack(9),
      extents: [[0, 0, 10]],
      ...changes,
    });
  const linkLine = JSON.stringify({
    path: 'l',
    type: 'symlink',
    uid: 0,
    gid: 0,
    mtimeNs: '0',
    target: '/etc',
  });
  const lines = (...all: string[]): string => all.map((line) => `${line}\n`).join('');

  it('nothing of what it should take', async () => {
    expect((await read(Buffer.from(lines(headerLine, packsLine, fileLine(), linkLine)))).length).toBe(2);
    const more = lines(headerLine, packsLine, fileLine({ extents: [[0, 0, 4]] }), '{"extents":[[0,4,6]]}');
    expect((await read(Buffer.from(more))).length).toBe(1);
  });

  it.each<[string, string]>([
    ['nothing', ''],
    ['a last line without end', `${headerLine}\n${packsLine}`],
    ['another format', lines(headerLine.replace('manifest-1', 'manifest-2'))],
    ['another folder', lines(headerLine.replace('secrets', 'database'))],
    ['no header', lines(packsLine, fileLine())],
    ['a line that is no object', lines(headerLine, '5')],
    ['an unknown line', lines(headerLine, '{"what":1}')],
    ['an unknown member', lines(headerLine, packsLine, fileLine({ setuid: true }))],
    ['an unknown type', lines(headerLine, packsLine, fileLine({ type: 'device' }))],
    ['a pack that is not listed', lines(headerLine, fileLine())],
    [
      'an extent behind the end of any pack',
      lines(headerLine, packsLine, fileLine({ extents: [[0, 16_777_210, 10]] })),
    ],
    [
      'an extent of nothing',
      lines(
        headerLine,
        packsLine,
        fileLine({
          extents: [
            [0, 0, 10],
            [0, 0, 0],
          ],
        }),
      ),
    ],
    ['a negative offset', lines(headerLine, packsLine, fileLine({ extents: [[0, -1, 10]] }))],
    ['extents that miss bytes', lines(headerLine, packsLine, fileLine({ size: 11 }))],
    [
      'extents that miss bytes before another entry',
      lines(headerLine, packsLine, fileLine({ size: 11 }), linkLine),
    ],
    ['extents behind no file', lines(headerLine, packsLine, linkLine, '{"extents":[[0,0,1]]}')],
    ['extents behind packs', lines(headerLine, packsLine, fileLine(), packsLine, '{"extents":[[0,0,1]]}')],
    ['a path twice', lines(headerLine, packsLine, fileLine(), fileLine())],
    ['two paths in one entry', lines(headerLine, packsLine, fileLine({ pathBase64: 'YQ==' }))],
    ['no path', lines(headerLine, packsLine, fileLine({ path: undefined }))],
    ['a path below a symlink', lines(headerLine, packsLine, linkLine, fileLine({ path: 'l/passwd' }))],
    ['a symlink above a path', lines(headerLine, packsLine, fileLine({ path: 'l/passwd' }), linkLine)],
    ['a root that is a file', lines(headerLine, packsLine, fileLine({ path: '' }))],
    ['a lone surrogate', lines(headerLine, packsLine, fileLine({ path: '\ud800' }))],
    ['a file type in the mode', lines(headerLine, packsLine, fileLine({ mode: 0o100644 }))],
    ['a time that is none', lines(headerLine, packsLine, fileLine({ mtimeNs: '007' }))],
    ['a line without end', `${headerLine}\n"${'x'.repeat(sealedLimits.manifestLineBytesMax + 1)}`],
    ['a long line', lines(headerLine, `"${'x'.repeat(sealedLimits.manifestLineBytesMax)}"`)],
  ])('%s', async (_, text) => {
    await expect(read(Buffer.from(text))).rejects.toThrowError(invalid);
  });

  it.each(['/etc/passwd', '../x', 'a/../b', 'a//b', 'x\0y', './a'])('the path %j', async (bad) => {
    await expect(
      read(Buffer.from(lines(headerLine, packsLine, fileLine({ path: bad })))),
    ).rejects.toThrowError(expect.objectContaining({ code: 'PATH_INVALID' }));
  });

  it('a line without end before it takes memory for it', async () => {
    const piece = Buffer.alloc(64 * 1024, 'x');
    let given = 0;
    const endless = function* (): Generator<Buffer> {
      for (; given < 100 * sealedLimits.manifestLineBytesMax; given += piece.length) yield piece;
    };
    await expect(read(endless())).rejects.toThrowError(invalid);
    expect(given).toBeLessThan(2 * sealedLimits.manifestLineBytesMax);
  });

  it('anything else with an error of its own', async () => {
    const good = Buffer.from(lines(headerLine, packsLine, fileLine(), linkLine));
    const change = fc.record({
      at: fc.nat({ max: good.length - 1 }),
      to: fc.uint8Array({ maxLength: 6 }),
      cut: fc.nat({ max: 6 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        let bytes = good;
        for (const { at, to, cut } of changes) {
          bytes = Buffer.concat([bytes.subarray(0, at), to, bytes.subarray(at + cut)]);
        }
        const error: unknown = await read(bytes).then(
          () => null,
          (problem: unknown) => problem,
        );
        if (error !== null) {
          expect(error).toBeInstanceOf(CodedError);
          expect(['MANIFEST_INVALID', 'PATH_INVALID']).toContain((error as CodedError).code);
        }
      }),
      { numRuns: 500 },
    );
  });
});
