import { createHash } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { ManifestEntry } from '../../shared/sealing/manifest-entry.ts';
import { readManifest } from '../../shared/sealing/manifest-reader.ts';
import { packName } from '../../shared/sealing/object-name.ts';
import { releaseMemory } from '../../shared/sealing/released-memory.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import { unsealRootMessage, type RootMessage } from '../../shared/sealing/root-message.ts';
import type { VersionRecord } from '../../shared/sealing/version-record.ts';
import { damagedObject } from './damaged-object.ts';
import type { SealedObjects } from './sealed-objects.ts';
import type { UnsealThread } from './unseal-thread.ts';

/** Packs that are opened while another one is used: each may be 16 MiB. */
const packsOpenMax = 2;
/** What is fetched ahead, as sealed: lost when a restore is killed, and enough to fill a gigabit over 60 ms. */
const sealedBytesAheadMax = 8 * 1024 * 1024;

/** `chunks`: null as long as nobody opens it. */
type PackUnderWay = {
  hash: string;
  sealedBytes: number;
  sealed: Promise<Buffer<ArrayBuffer>>;
  chunks: Promise<Buffer> | null;
};

type OpenUnsealer = Pick<UnsealThread, 'unsealMessage' | 'unsealPack'>;

/** Opens the packs of one version; only those that its record names. */
export class SealedContent {
  readonly #objects: Pick<SealedObjects, 'fetchPack'>;
  readonly #record: VersionRecord;
  readonly #unsealer: OpenUnsealer;
  /** Bytes of each pack, as sealed. */
  readonly #named: ReadonlyMap<string, number>;

  constructor(
    deps: { objects: Pick<SealedObjects, 'fetchPack'>; unsealer: OpenUnsealer },
    record: VersionRecord,
  ) {
    this.#objects = deps.objects;
    this.#unsealer = deps.unsealer;
    this.#record = record;
    this.#named = new Map(record.packs);
  }

  /** Hash of the root message: no two versions have the same. */
  get root(): string {
    return this.#record.root;
  }

  /** @throws CodedError KEY_WRONG, PACK_CORRUPT, MANIFEST_INVALID, RECORD_FORGED, CONTENT_GONE */
  async readRoot(): Promise<RootMessage> {
    const { root } = this.#record;
    const message = await this.#objects.fetchPack(root);
    if (createHash('sha256').update(message).digest('hex') !== root) throw damagedObject(packName(root));
    return unsealRootMessage(message, this.#unsealer, this.#record);
  }

  /** All entries, once the manifest's hash was checked. @throws CodedError as `readRoot`, and PATH_INVALID */
  async readEntries({ manifest }: RootMessage): Promise<ManifestEntry[]> {
    if (manifest.size > sealedLimits.manifestBytesMax) {
      throw new CodedError('MANIFEST_INVALID', `a manifest of ${manifest.size} bytes is too large`);
    }
    const bytes = Buffer.alloc(manifest.size);
    let end = 0;
    const placed = manifest.extents.map((extent) => {
      const at = end;
      end += extent.length;
      return { at, extent };
    });
    const uses = Map.groupBy(placed, ({ extent }) => extent.pack);
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

  /**
   * The chunks of each pack, in that order; the next ones are fetched and opened meanwhile. What is yielded is
   * valid until the next is asked for.
   * @throws CodedError as `readRoot`
   */
  async *packs(hashes: readonly string[]): AsyncGenerator<{ hash: string; chunks: Buffer }> {
    const rest = hashes.values();
    const queue: PackUnderWay[] = [];
    let upcoming = rest.next();
    let bytesAhead = 0;
    const advance = (): void => {
      while (upcoming.done !== true) {
        const sealedBytes = this.#sealedBytes(upcoming.value);
        if (queue.length > packsOpenMax && bytesAhead + sealedBytes > sealedBytesAheadMax) break;
        queue.push(this.#fetch(upcoming.value, sealedBytes));
        bytesAhead += sealedBytes;
        upcoming = rest.next();
      }
      for (const pack of queue.slice(0, packsOpenMax)) pack.chunks ??= this.#open(pack);
    };
    advance();
    for (;;) {
      const [next] = queue;
      if (next === undefined) return;
      const chunks = await (next.chunks ?? this.#open(next));
      queue.shift();
      bytesAhead -= next.sealedBytes;
      advance();
      yield { hash: next.hash, chunks };
      releaseMemory(chunks);
    }
  }

  #fetch(hash: string, sealedBytes: number): PackUnderWay {
    const sealed = this.#objects.fetchPack(hash);
    // a failure is seen by whoever takes the pack; until then it is not unhandled
    sealed.catch(() => {});
    return { hash, sealedBytes, sealed, chunks: null };
  }

  #open({ hash, sealed }: PackUnderWay): Promise<Buffer> {
    const chunks = sealed.then(async (pack) => this.#unsealer.unsealPack(hash, pack));
    chunks.catch(() => {});
    return chunks;
  }

  /** @throws CodedError MANIFEST_INVALID: the record does not name the pack */
  #sealedBytes(hash: string): number {
    const bytes = this.#named.get(hash);
    if (bytes !== undefined) return bytes;
    throw new CodedError(
      'MANIFEST_INVALID',
      `pack ${hash} is used by a version whose record does not name it`,
    );
  }
}

/** @throws CodedError MANIFEST_INVALID: the extent ends behind the pack */
export function sliceOf(chunks: Buffer, { offset, length }: { offset: number; length: number }): Buffer {
  if (offset + length <= chunks.length) return chunks.subarray(offset, offset + length);
  throw new CodedError('MANIFEST_INVALID', 'an extent ends behind its pack');
}
