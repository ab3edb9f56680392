import * as z from 'zod';
import { folderIdPattern } from '../records/folder-id.ts';
import type { RelativePath } from '../records/relative-path.ts';
import { parentPath } from '../records/relative-path.ts';
import { parseStrictJson } from './canonical-json.ts';
import { extentsLength, type Extent } from './extents.ts';
import {
  manifestEntrySchema,
  manifestInvalid,
  readEntry,
  writtenExtents,
  type ManifestEntry,
} from './manifest-entry.ts';
import { manifestFormat } from './manifest-writer.ts';
import { sealedLimits } from './sealed-limits.ts';

const headerSchema = z.strictObject({
  format: z.literal(manifestFormat),
  folder: z.string().regex(folderIdPattern),
  createdAt: z.iso.datetime({ precision: 3 }),
});
const packsSchema = z.strictObject({
  packs: z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(sealedLimits.packsPerVersionMax),
});
const extentsSchema = z.strictObject({ extents: writtenExtents });

/**
 * The entries of a manifest in its order, each with all its extents. A path occurs once and never below one that is not
 * a directory, so that entries may be written to disk one after the other. The bytes' SHA-256 is the caller's to check
 * against the root message *before* an entry is believed.
 * @throws CodedError MANIFEST_INVALID, PATH_INVALID
 */
export async function* readManifest(
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  expected: { folder: string },
): AsyncGenerator<ManifestEntry, void, undefined> {
  const state = new ManifestState(expected.folder);
  for await (const line of splitLines(bytes)) {
    const complete = state.line(line);
    if (complete !== null) yield complete;
  }
  const last = state.end();
  if (last !== null) yield last;
}

class ManifestState {
  readonly #folder: string;
  readonly #packs: string[] = [];
  readonly #kinds = new Map<RelativePath, ManifestEntry['type']>();
  readonly #parents = new Set<RelativePath>();
  #begun = false;
  #extents = 0;
  #open: ManifestEntry | null = null;
  #openExtents: Extent<string>[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Takes a line; gives the entry before it where that is complete now. */
  line(line: Buffer): ManifestEntry | null {
    const json = parseStrictJson(line, sealedLimits.manifestLineBytesMax, manifestInvalid);
    if (!this.#begun) {
      const { folder } = parse(headerSchema, json);
      if (folder !== this.#folder)
        throw manifestInvalid(`it belongs to folder ${folder}, not to ${this.#folder}`);
      this.#begun = true;
      return null;
    }
    if (typeof json !== 'object' || json === null) throw manifestInvalid('a line is not an object');
    if ('packs' in json) return this.#takePacks(parse(packsSchema, json).packs);
    if ('type' in json) return this.#takeEntry(json);
    if (this.#open?.type !== 'file') throw manifestInvalid('a list of extents follows no file');
    this.#takeExtents(parse(extentsSchema, json).extents);
    return null;
  }

  /** The last entry. */
  end(): ManifestEntry | null {
    if (!this.#begun) throw manifestInvalid('it is empty');
    return this.#close();
  }

  #takePacks(packs: string[]): ManifestEntry | null {
    const complete = this.#close();
    if (this.#packs.length + packs.length > sealedLimits.packsPerVersionMax)
      throw manifestInvalid('too many packs');
    for (const pack of packs) this.#packs.push(pack);
    return complete;
  }

  #takeEntry(json: object): ManifestEntry | null {
    const complete = this.#close();
    const written = parse(manifestEntrySchema, json);
    const entry = readEntry(written);
    this.#takePath(entry);
    this.#open = entry;
    if (written.type === 'file') this.#takeExtents(written.extents);
    return complete;
  }

  #takePath({ path, type }: ManifestEntry): void {
    if (path === '' && type !== 'directory') throw manifestInvalid('the root is not a directory');
    if (this.#kinds.has(path)) throw manifestInvalid('a path occurs twice');
    if (type !== 'directory' && this.#parents.has(path)) {
      throw manifestInvalid('a path that is no directory has entries below it');
    }
    for (let parent = parentPath(path); parent !== null; parent = parentPath(parent)) {
      if ((this.#kinds.get(parent) ?? 'directory') !== 'directory') {
        throw manifestInvalid('an entry lies below a path that is no directory');
      }
      if (this.#parents.has(parent)) break;
      this.#parents.add(parent);
    }
    if (this.#kinds.size >= sealedLimits.manifestEntriesMax) throw manifestInvalid('too many entries');
    this.#kinds.set(path, type);
  }

  #takeExtents(written: readonly [number, number, number][]): void {
    this.#extents += written.length;
    if (this.#extents > sealedLimits.manifestExtentsMax) throw manifestInvalid('too many extents');
    for (const [position, offset, length] of written) {
      const pack = this.#packs[position];
      if (pack === undefined)
        throw manifestInvalid(`an extent refers to pack ${position} of ${this.#packs.length}`);
      if (offset + length > sealedLimits.packPlainBytesMax)
        throw manifestInvalid('an extent ends behind its pack');
      this.#openExtents.push({ pack, offset, length });
    }
  }

  #close(): ManifestEntry | null {
    const entry = this.#open;
    this.#open = null;
    if (entry?.type !== 'file') return entry;
    const extents = this.#openExtents;
    this.#openExtents = [];
    const covered = extentsLength(extents);
    if (covered !== entry.size) {
      throw manifestInvalid(`the extents of a file cover ${covered} of ${entry.size} bytes`);
    }
    return { ...entry, extents };
  }
}

function parse<T>(schema: z.ZodType<T>, json: unknown): T {
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw manifestInvalid(z.prettifyError(parsed.error).slice(0, 500));
  return parsed.data;
}

/** Lines without their line feed; the last one must have one. */
async function* splitLines(
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Buffer, void, undefined> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for await (const piece of bytes) {
    let rest = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    for (let feed = rest.indexOf(0x0a); feed >= 0; feed = rest.indexOf(0x0a)) {
      yield Buffer.concat([...pending, rest.subarray(0, feed)]);
      pending = [];
      pendingBytes = 0;
      rest = rest.subarray(feed + 1);
    }
    // a copy: the caller may use its buffer again
    if (rest.length > 0) pending.push(Buffer.from(rest));
    pendingBytes += rest.length;
    if (pendingBytes > sealedLimits.manifestLineBytesMax) throw manifestInvalid('a line is too long');
  }
  if (pendingBytes > 0) throw manifestInvalid('its last line is cut off');
}
