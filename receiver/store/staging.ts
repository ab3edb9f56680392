import { createHash, hash as digest } from 'node:crypto';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { crashPoint } from '../../shared/io/crash-point.ts';
import type { Disk, DiskPath } from '../../shared/io/disk.ts';
import type { FolderQuota } from './agent-quota.ts';
import type { FreeSpace } from './free-space.ts';
import { yieldToOthers, removeFile } from './journal.ts';
import { PartialContents } from './partial-contents.ts';
import { openContent, type HeldCopy, type ReadableContent } from './readable-content.ts';

const copyBytes = 4 * 1024 * 1024;
/** Staged content that so many commits did not use is superseded: batches are committed in order, a few in flight. */
const unusedCommitsMax = 16;

/** `differs`: the copy is not what the hash says; an error: it cannot be read. */
export type StagedCopy = 'staged' | 'differs' | CodedError;

type Deps = { disk: Disk; quota: FolderQuota; freeSpace: FreeSpace };

/** The directory `incoming/`: content that was verified and waits for its commit, and partial content. */
export class Staging {
  readonly partials: PartialContents;
  readonly #disk: Disk;
  readonly #directory: DiskPath;
  readonly #quota: FolderQuota;
  readonly #freeSpace: FreeSpace;
  readonly #staged = new Map<string, { name: string; size: number; commit: number }>();
  #counter = 0;
  #commits = 0;
  #bytes = 0;

  constructor({ disk, quota, freeSpace }: Deps, { directory }: { directory: DiskPath }) {
    this.#disk = disk;
    this.#directory = directory;
    this.#quota = quota;
    this.#freeSpace = freeSpace;
    this.partials = new PartialContents(
      { disk, quota, freeSpace, onWhole: (hash, place, size) => this.#takeOver(hash, place, size) },
      { directory },
    );
  }

  /** Bytes of staged, claimed and partial content. */
  get bytes(): number {
    return this.#bytes + this.partials.bytes;
  }

  has(hash: Buffer): boolean {
    return this.#staged.has(hash.toString('hex'));
  }

  /** Stores whole content; staging what is staged is a no-op. Durable only with the commit that uses it. */
  stage(hash: Buffer, bytes: Uint8Array): void {
    if (this.has(hash)) return;
    if (!digest('sha256', bytes, 'buffer').equals(hash)) throw mismatch(hash);
    this.#takeRoom(bytes.byteLength);
    const name = this.#nextName(hash);
    this.#create(name, (fd) => this.#disk.write(fd, bytes, 0));
    this.#add(hash, name, bytes.byteLength);
  }

  /** Copies content that is held elsewhere, verifying it. */
  async stageCopy(hash: Buffer, size: number, open: HeldCopy): Promise<StagedCopy> {
    if (this.has(hash)) return 'staged';
    const source = unlessUnreadable(open);
    if (source instanceof CodedError) return source;
    if (source === null) return 'differs';
    try {
      return source.size === size ? await this.#copy(hash, size, source) : 'differs';
    } finally {
      source.close();
    }
  }

  async #copy(hash: Buffer, size: number, source: ReadableContent): Promise<StagedCopy> {
    this.#takeRoom(size);
    const name = this.#nextName(hash);
    const hasher = createHash('sha256');
    const fd = this.#disk.open(this.#place(name), 'create');
    let equal = false;
    let unreadable: CodedError | null = null;
    try {
      for (let offset = 0; offset < size;) {
        const from = offset;
        const bytes = unlessUnreadable(() => source.read(from, Math.min(copyBytes, size - from)));
        if (bytes instanceof CodedError) unreadable = bytes;
        if (bytes instanceof CodedError || bytes.length === 0) break;
        hasher.update(bytes);
        this.#disk.write(fd, bytes, offset);
        offset += bytes.length;
        if (size > copyBytes) await yieldToOthers();
      }
      equal = hasher.digest().equals(hash);
    } finally {
      this.#disk.close(fd);
      if (!equal || this.has(hash)) removeFile(this.#disk, this.#place(name));
    }
    if (equal && !this.has(hash)) this.#add(hash, name, size);
    return unreadable ?? (equal ? 'staged' : 'differs');
  }

  /** The bytes of staged content, whole in memory; null when it is not staged. */
  read(hash: Buffer): Buffer | null {
    const staged = this.#staged.get(hash.toString('hex'));
    const content = staged === undefined ? null : openContent(this.#disk, this.#place(staged.name));
    if (content === null) return null;
    try {
      return content.read(0, content.size);
    } finally {
      content.close();
    }
  }

  /**
   * Takes staged content out for a commit: as many names in `incoming/` as asked for, each a file of its own.
   * Null when it is not staged.
   * @throws CodedError PROTOCOL_VIOLATION when the content has another size than was announced
   */
  async claim(hash: Buffer, size: number, count: number): Promise<string[] | null> {
    const hex = hash.toString('hex');
    const staged = this.#staged.get(hex);
    if (staged === undefined) return null;
    if (staged.size !== size) {
      throw new CodedError('PROTOCOL_VIOLATION', `content ${hex} has ${staged.size} bytes, not ${size}`);
    }
    const names = [staged.name];
    while (names.length < count) {
      this.#staged.delete(hex);
      const open = (): ReadableContent | null => openContent(this.#disk, this.#place(staged.name));
      const copied = await this.stageCopy(hash, staged.size, open);
      if (copied !== 'staged') throw copied === 'differs' ? mismatch(hash) : copied;
      names.push(this.#staged.get(hex)?.name ?? '');
    }
    this.#staged.delete(hex);
    return names;
  }

  /** Gives claimed content back: its commit does not take place. */
  unclaim(hash: Buffer, name: string, size: number): void {
    if (!this.has(hash)) this.#staged.set(hash.toString('hex'), { name, size, commit: this.#commits });
    else {
      this.#bytes -= size;
      removeFile(this.#disk, this.#place(name));
    }
  }

  /** A commit has used claimed content of so many bytes. What many commits have not used is removed. */
  committed(bytes: number): void {
    this.#bytes -= bytes;
    this.#commits += 1;
    for (const [hex, { name, size, commit }] of this.#staged) {
      if (commit > this.#commits - unusedCommitsMax) break;
      this.#staged.delete(hex);
      this.#bytes -= size;
      removeFile(this.#disk, this.#place(name));
    }
  }

  #takeOver(hash: Buffer, place: DiskPath, size: number): void {
    if (this.has(hash)) return removeFile(this.#disk, place);
    const name = this.#nextName(hash);
    this.#disk.rename(place, this.#place(name));
    this.#add(hash, name, size);
  }

  #create(name: string, fill: (fd: number) => void): void {
    const place = this.#place(name);
    const fd = this.#disk.open(place, 'create');
    let filled = false;
    try {
      fill(fd);
      filled = true;
    } finally {
      this.#disk.close(fd);
      if (!filled) removeFile(this.#disk, place);
    }
  }

  #add(hash: Buffer, name: string, size: number): void {
    this.#staged.set(hash.toString('hex'), { name, size, commit: this.#commits });
    this.#bytes += size;
    crashPoint('store.staged');
  }

  #takeRoom(bytes: number): void {
    this.#quota.assertRoom(bytes);
    this.#freeSpace.take(bytes);
  }

  /** A name never used since the store was opened, so that a commit under way keeps its own file. */
  #nextName(hash: Buffer): string {
    this.#counter += 1;
    return `${hash.toString('hex')}-${this.#counter}`;
  }

  #place(name: string): DiskPath {
    return `${this.#directory}/${name}`;
  }
}

/** The error where the disk refuses to read: another copy may be good. Other errors are thrown. */
function unlessUnreadable<T>(read: () => T): T | CodedError {
  try {
    return read();
  } catch (error) {
    if (isCoded(error, 'DISK_FAILED')) return error;
    throw error;
  }
}

function mismatch(hash: Buffer): CodedError {
  return new CodedError('CONTENT_MISMATCH', `content does not have the hash ${hash.toString('hex')}`);
}
