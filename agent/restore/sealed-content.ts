import { createHash } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Extent } from '../../shared/sealing/extents.ts';
import type { ManifestEntry } from '../../shared/sealing/manifest-entry.ts';
import { readManifest } from '../../shared/sealing/manifest-reader.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import { unsealRootMessage, type RootMessage } from '../../shared/sealing/root-message.ts';
import { unsealPack, type Unsealer } from '../../shared/sealing/unsealer.ts';
import type { VersionRecord } from '../../shared/sealing/version-record.ts';
import type { SealedObjects } from './sealed-objects.ts';

/** Packs on their way while one is opened. */
const packsAheadMax = 2;

/** Opens the packs of one version; only those that its record names. */
export class SealedContent {
  readonly #objects: SealedObjects;
  readonly #record: VersionRecord;
  readonly #unsealer: Unsealer;
  readonly #named: ReadonlySet<string>;

  constructor(deps: { objects: SealedObjects; unsealer: Unsealer }, record: VersionRecord) {
    this.#objects = deps.objects;
    this.#unsealer = deps.unsealer;
    this.#record = record;
    this.#named = new Set(record.packs.map(([hash]) => hash));
  }

  /** Hash of the root message: no two versions have the same. */
  get root(): string {
    return this.#record.root;
  }

  /** @throws CodedError KEY_WRONG, PACK_CORRUPT, MANIFEST_INVALID, RECORD_FORGED, CONTENT_GONE */
  async readRoot(): Promise<RootMessage> {
    const message = await this.#objects.readPack(this.#record.root);
    return unsealRootMessage(message, this.#unsealer, this.#record);
  }

  /** All entries, once the manifest's hash was checked. @throws CodedError as `readRoot`, and PATH_INVALID */
  async readEntries({ manifest }: RootMessage): Promise<ManifestEntry[]> {
    if (manifest.size > sealedLimits.manifestBytesMax) {
      throw new CodedError('MANIFEST_INVALID', `a manifest of ${manifest.size} bytes is too large`);
    }
    const bytes = Buffer.alloc(manifest.size);
    const uses = new Map<string, { at: number; extent: Extent<string> }[]>();
    let at = 0;
    for (const extent of manifest.extents) {
      uses.set(extent.pack, [...(uses.get(extent.pack) ?? []), { at, extent }]);
      at += extent.length;
    }
    for await (const { hash, chunks } of this.packs([...uses.keys()])) {
      for (const { at, extent } of uses.get(hash) ?? []) sliceOf(chunks, extent).copy(bytes, at);
    }
    if (createHash('sha256').update(bytes).digest('hex') !== manifest.sha256) {
      throw new CodedError(
        'MANIFEST_INVALID',
        'the manifest does not have the hash that its root message tells',
      );
    }
    return Array.fromAsync(readManifest([bytes], this.#record));
  }

  /** The chunks of each pack, in that order; the next ones are on their way meanwhile. @throws CodedError as `readRoot` */
  async *packs(hashes: readonly string[]): AsyncGenerator<{ hash: string; chunks: Buffer }> {
    const ahead: { hash: string; pack: Promise<Buffer> }[] = [];
    const rest = hashes.values();
    const fetchMore = (): void => {
      while (ahead.length < packsAheadMax) {
        const next = rest.next();
        if (next.done === true) return;
        const pack = this.#fetch(next.value);
        // a failure is seen by whoever takes the pack; until then it is not unhandled
        pack.catch(() => {});
        ahead.push({ hash: next.value, pack });
      }
    };
    fetchMore();
    for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
      const pack = await next.pack;
      fetchMore();
      yield { hash: next.hash, chunks: await unsealPack(pack, this.#unsealer) };
    }
  }

  async #fetch(hash: string): Promise<Buffer> {
    if (!this.#named.has(hash)) {
      throw new CodedError(
        'MANIFEST_INVALID',
        `pack ${hash} is used by a version whose record does not name it`,
      );
    }
    return this.#objects.readPack(hash);
  }
}

/** @throws CodedError MANIFEST_INVALID: the extent ends behind the pack */
export function sliceOf(chunks: Buffer, { offset, length }: { offset: number; length: number }): Buffer {
  if (offset + length <= chunks.length) return chunks.subarray(offset, offset + length);
  throw new CodedError('MANIFEST_INVALID', 'an extent ends behind its pack');
}
