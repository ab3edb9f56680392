import type { Extent } from './extents.ts';
import { writeEntry, type ManifestEntry } from './manifest-entry.ts';
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
    const written = writeEntry(entry);
    if (entry.type !== 'file') return lines([written]);
    const packs = this.packs(packsOf(entry.extents));
    const parts = slices(entry.extents, sealedLimits.manifestExtentsPerLine);
    const [first = [], ...rest] = parts.map((part) => part.map((extent) => this.#written(extent)));
    const own = lines([{ ...written, extents: first }, ...rest.map((extents) => ({ extents }))]);
    return packs.length === 0 ? own : Buffer.concat([packs, own]);
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
