import { createHash } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { packName } from '../../shared/sealing/object-name.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import { damagedObject } from './damaged-object.ts';
import { goneError } from './folder-restore.ts';
import { browseFolder } from './restore-listing.ts';
import type { RestoreLink } from './restore-link.ts';

/** Larger than any object: a version record is the largest. */
const objectBytesMax = Math.max(sealedLimits.packBytesMax, sealedLimits.versionRecordBytesMax);

/** The objects of one sealed folder on a receiver, as it lists them. */
export class SealedObjects {
  readonly #link: RestoreLink;
  readonly #folder: string;
  readonly #states: ReadonlyMap<string, FileState>;

  private constructor(link: RestoreLink, folder: string, states: ReadonlyMap<string, FileState>) {
    this.#link = link;
    this.#folder = folder;
    this.#states = states;
  }

  /** `at`: the moment whose state is listed. */
  static async list(link: RestoreLink, folder: string, at: number): Promise<SealedObjects> {
    const entries = await browseFolder(link, folder, { at }, () => true);
    const states = new Map<string, FileState>();
    for (const { path, state } of entries) if (state.kind === 'file') states.set(path, state);
    return new SealedObjects(link, folder, states);
  }

  names(): Iterable<string> {
    return this.#states.keys();
  }

  has(name: string): boolean {
    return this.#states.has(name);
  }

  /** When the receiver got it, ms by the receiver's clock; 0 where it is not held. */
  receivedAt(name: string): number {
    return Number((this.#states.get(name)?.mtimeNs ?? 0n) / 1_000_000n);
  }

  hasPack(hash: string): boolean {
    return this.#states.has(packName(hash));
  }

  /**
   * The whole object.
   * @throws CodedError CONTENT_GONE (not held), PACK_CORRUPT (damaged there), LINK_TIMEOUT
   */
  async read(name: string): Promise<Buffer> {
    const { content, hash } = await this.#fetch(name);
    if (createHash('sha256').update(content).digest().equals(hash)) return content;
    throw damagedObject(name);
  }

  /**
   * A pack as the receiver gives it, alone in its memory: that it has the hash of its name is the caller's to check.
   * @throws CodedError as `read`
   */
  async fetchPack(hash: string): Promise<Buffer<ArrayBuffer>> {
    const { content } = await this.#fetch(packName(hash));
    return content;
  }

  async #fetch(name: string): Promise<{ content: Buffer<ArrayBuffer>; hash: Buffer }> {
    const state = this.#states.get(name);
    const path = name as RelativePath;
    if (state === undefined) throw goneError({ path }, 'vanished');
    if (state.size > objectBytesMax || state.size === 0) {
      throw new CodedError('PROTOCOL_VIOLATION', `the receiver says that ${name} has ${state.size} bytes`);
    }
    const wanted = { folder: this.#folder, path, hash: state.hash, size: state.size };
    const content = Buffer.allocUnsafeSlow(state.size);
    const outcome = await this.#link.run(async ({ fetcher }) => {
      if (state.size <= limits.wholeFileBytesMax) {
        return fetcher.fetchWhole(wanted, (bytes) => {
          content.set(bytes);
          this.#link.noteProgress();
        });
      }
      const target = {
        size: 0,
        read: (offset: number, length: number) => content.subarray(offset, offset + length),
        write: (offset: number, bytes: Uint8Array) => {
          content.set(bytes, offset);
          this.#link.noteProgress();
        },
      };
      const fetched = await fetcher.fetchChunked(wanted, target, []);
      return typeof fetched === 'string' ? fetched : 'taken';
    });
    if (outcome === 'taken') return { content, hash: state.hash };
    // A receiver that verifies what it gives away says itself that its copy is another one now.
    throw outcome === 'changed' ? damagedObject(name) : goneError({ path }, outcome);
  }
}
