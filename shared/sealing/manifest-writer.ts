import { extentsLength, type Extent } from './extents.ts';
import { manifestInvalid, writeEntry, type ManifestEntry, type ManifestFile } from './manifest-entry.ts';
import { sealedLimits } from './sealed-limits.ts';

export const manifestFormat = 'mastokeep-manifest-1';

/**
 * Makes a manifest's bytes piece by piece, in the order of the calls: first `begin`, then packs and entries. What it
 * gives back belongs one behind the other; nothing is kept but the list of packs.
 * @see docs/sealed-format.md#manifest
 */
export class ManifestWriter {
  readonly #positions = new Map<string, number>();
  readonly #header: { format: string; folder: string; createdAt: string };

  /** `createdAt`: ISO 8601, as in the version record. */
  constructor(options: { folder: string; createdAt: string }) {
    this.#header = { format: manifestFormat, folder: options.folder, createdAt: options.createdAt };
  }

  /** The first line. */
  begin(): Buffer {
    return lines([this.#header]);
  }

  /**
   * Lists packs (hashes, hexadecimal) that later entries refer to; those listed before are left out. A list that only
   * grows at its end from version to version keeps the lines of unchanged files equal, and so deduplicates best.
   */
  packs(hashes: Iterable<string>): Buffer {
    const added: string[] = [];
    for (const hash of hashes) {
      if (this.#positions.has(hash)) continue;
      this.#positions.set(hash, this.#positions.size);
      added.push(hash);
    }
    return lines(slices(added, sealedLimits.manifestPacksPerLine).map((packs) => ({ packs })));
  }

  /**
   * One entry; packs that are not listed yet are listed before it.
   * @throws CodedError MANIFEST_INVALID (extents and size differ)
   */
  entry(entry: ManifestEntry): Buffer {
    if (entry.type !== 'file') return lines([writeEntry(entry)]);
    const { extents, ...head } = entry;
    const packs = this.packs(packsOf(extents));
    const blocks = slices(extents, sealedLimits.manifestExtentsPerLine);
    return Buffer.concat([packs, ...this.filePieces(head, blocks)]);
  }

  /**
   * The entry of a file whose extents come in blocks of at most `manifestExtentsPerLine`, one line each. Their packs
   * must be listed already.
   * @throws CodedError MANIFEST_INVALID (extents and size differ), at the end
   */
  *filePieces(
    head: Omit<ManifestFile, 'extents'>,
    blocks: Iterable<readonly Extent<string>[]>,
  ): Generator<Buffer> {
    let covered = 0;
    let written: object = writeEntry(head);
    let begun = false;
    for (const block of blocks) {
      covered += extentsLength(block);
      yield lines([{ ...written, extents: block.map((extent) => this.#written(extent)) }]);
      written = {};
      begun = true;
    }
    if (!begun) yield lines([{ ...written, extents: [] }]);
    if (covered !== head.size) {
      throw manifestInvalid(`the extents of a file cover ${covered} of ${head.size} bytes`);
    }
  }

  #written({ pack, offset, length }: Extent<string>): [number, number, number] {
    return [this.#positions.get(pack) ?? 0, offset, length];
  }
}

function* packsOf(extents: readonly Extent<string>[]): Generator<string> {
  for (const { pack } of extents) yield pack;
}

function slices<T>(items: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let at = 0; at < items.length; at += size) parts.push(items.slice(at, at + size));
  return parts;
}

function lines(values: readonly object[]): Buffer {
  return Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''), 'utf8');
}
