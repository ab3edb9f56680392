import { createHash } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { packName } from '../../shared/sealing/object-name.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import { goneError } from './folder-restore.ts';
import { browseFolder } from './restore-listing.ts';
import type { RestoreLink } from './restore-link.ts';

/** Larger than any object: a version record is the largest. */
const objectBytesMax = Math.max(sealedLimits.packBytesMax, sealedLimits.versionRecordBytesMax);

/** The objects of one sealed folder on a receiver, as it lists them; each is verified by its hash when it is read. */
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
    const entries = await browseFolder(link, folder, at, () => true);
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

  hasPack(hash: string): boolean {
    return this.#states.has(packName(hash));
  }

  /**
   * The whole object.
   * @throws CodedError CONTENT_GONE (not held), PACK_CORRUPT (damaged there), LINK_TIMEOUT
   */
  async read(name: string): Promise<Buffer> {
    const state = this.#states.get(name);
    const path = name as RelativePath;
    if (state === undefined) throw goneError({ path }, 'vanished');
    if (state.size > objectBytesMax || state.size === 0) {
      throw new CodedError('PROTOCOL_VIOLATION', `the receiver says that ${name} has ${state.size} bytes`);
    }
    const wanted = { folder: this.#folder, path, hash: state.hash, size: state.size };
    // filled by what is fetched: its hash is compared before anybody sees it
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
    const isWhole = outcome === 'taken' && createHash('sha256').update(content).digest().equals(state.hash);
    if (isWhole) return content;
    // A receiver that verifies what it gives away says itself that its copy is another one now.
    if (outcome !== 'taken' && outcome !== 'changed') throw goneError({ path }, outcome);
    throw new CodedError('PACK_CORRUPT', `${name} is damaged on the receiver`, {
      hint: 'another receiver may have a whole one, or another moment',
    });
  }

  /** A pack, proved by its name. @throws CodedError as `read`, and PACK_CORRUPT: the receiver lists another hash under that name */
  async readPack(hash: string): Promise<Buffer> {
    const name = packName(hash);
    const listed = this.#states.get(name);
    if (listed !== undefined && listed.hash.toString('hex') !== hash) {
      throw new CodedError('PACK_CORRUPT', `the receiver holds something else under the name ${name}`);
    }
    return this.read(name);
  }
}
