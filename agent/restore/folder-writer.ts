import fs from 'node:fs';
import { CodedError, isCoded, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { crashPoint } from '../../shared/io/crash-point.ts';
import type { FileState } from '../../shared/records/file-record.ts';
import { displayPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { TimeStamp, TimeStamper } from './exact-times.ts';
import { hashFile, PartialFile } from './partial-file.ts';
import type { PathFailure, PlannedFile, PlannedSymlink } from './restore-plan.ts';
import type { HeldPlace, TargetTree } from './target-tree.ts';
import { createTemporary, openTemporary, temporaryFile, temporaryLink, writeAll } from './temporary-file.ts';
import { WriteBack } from './write-back.ts';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;

/** Files that wait for their time and their name together. */
const batchFilesMax = 256;

export type FolderWriterOptions = {
  /** What differs is replaced instead of left alone. */
  inPlace: boolean;
};

export type FolderWriterEvents = {
  /** The path has its final name, content, mode, owner and time. */
  onWritten(path: RelativePath, bytes: number): void;
  onFailed(failure: PathFailure): void;
};

type WaitingFile = {
  path: RelativePath;
  place: HeldPlace;
  temporary: Buffer;
  mtimeNs: bigint;
  bytes: number;
};

/**
 * Writes the files and links of one folder's restore. Nothing gets its final name before its content is verified and
 * mode, owner and time are set, so that a run killed anywhere leaves whole files and temporary names only.
 */
export class FolderWriter {
  readonly #tree: TargetTree;
  readonly #stamper: TimeStamper;
  readonly #options: FolderWriterOptions;
  readonly #events: FolderWriterEvents;
  #waiting: WaitingFile[] = [];
  /** Times of files that were there already. */
  #stamps: (TimeStamp & { place: HeldPlace })[] = [];
  #flushing: Promise<void> = Promise.resolve();
  readonly #writeBack: WriteBack;
  /** Why the disk did not take what was written. */
  #lost: Error | null = null;

  constructor(
    deps: { tree: TargetTree; stamper: TimeStamper; writeBack?: WriteBack },
    options: FolderWriterOptions,
    events: FolderWriterEvents,
  ) {
    this.#tree = deps.tree;
    this.#stamper = deps.stamper;
    this.#writeBack = deps.writeBack ?? new WriteBack();
    this.#options = options;
    this.#events = events;
  }

  /**
   * Whether the file is there already with exactly this content; then mode, owner and time are put right.
   * @throws CodedError RESTORE_CONFLICT when something else is there and may not be replaced; system errors
   */
  async isThere(file: PlannedFile): Promise<boolean> {
    const place = this.#tree.hold(file.path);
    let stamped = false;
    try {
      const found = statOrNull(place.file);
      if (found === null) return false;
      if (found.isFile() && found.size === BigInt(file.state.size)) {
        const fd = openToRead(place.file, found);
        try {
          if ((await hashFile(fd)).equals(file.state.hash)) {
            this.#putRight(file.state, fd, found);
            if (found.mtimeNs !== file.state.mtimeNs) {
              this.#stamps.push({ file: place.file, mtimeNs: file.state.mtimeNs, place });
              stamped = true;
            }
            return true;
          }
        } finally {
          fs.closeSync(fd);
        }
      }
      this.#checkReplaceable(file.path, found);
      return false;
    } finally {
      if (!stamped) place.release();
      else if (this.#stamps.length >= batchFilesMax) await this.flush();
    }
  }

  /**
   * Takes the whole content of a file, which the caller has verified; it gets its name with the next `flush`.
   * @throws CodedError RESTORE_CONFLICT; system errors
   */
  async writeWhole(file: PlannedFile, bytes: Uint8Array): Promise<void> {
    const place = this.#tree.hold(file.path);
    const temporary = temporaryFile(place, file);
    try {
      const fd = createTemporary(temporary);
      try {
        writeAll(fd, bytes);
        this.#tree.setOwnerAndMode(fd, file.state, file.state.mode);
      } finally {
        fs.closeSync(fd);
      }
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      place.release();
      throw error;
    }
    crashPoint('restore.written');
    this.#enqueue({ path: file.path, place, temporary, mtimeNs: file.state.mtimeNs, bytes: bytes.length });
    if (this.#waiting.length >= batchFilesMax) await this.flush();
  }

  /** The file's temporary content, with what an earlier run left of it. The caller closes it, or hands it to `finishPartial`. */
  openPartial(file: PlannedFile): PartialFile {
    const place = this.#tree.hold(file.path);
    const temporary = temporaryFile(place, file);
    try {
      return new PartialFile(openTemporary(temporary), file.state.size, this.#writeBack, {
        onClose: () => place.release(),
        onLost: (error) => this.#lose(file.path, temporary, error),
      });
    } catch (error) {
      place.release();
      throw error;
    }
  }

  /**
   * Verifies the whole content (unless `verified` says that the caller has just done so) and gives it its name with the
   * next `flush`. Closes `partial` in any case.
   * @throws CodedError CONTENT_MISMATCH: what was there is dropped; RESTORE_CONFLICT; as `assertTaken`; system errors
   */
  async finishPartial(file: PlannedFile, partial: PartialFile, verified = false): Promise<void> {
    const place = this.#tree.hold(file.path);
    const temporary = temporaryFile(place, file);
    try {
      if (!verified && !(await partial.verify(file.state.hash))) {
        fs.rmSync(temporary, { force: true });
        throw new CodedError(
          'CONTENT_MISMATCH',
          `content of ${displayPath(file.path)} does not have its hash`,
        );
      }
      await partial.settled();
      this.#assertNotLost();
      this.#tree.setOwnerAndMode(partial.fd, file.state, file.state.mode);
    } catch (error) {
      place.release();
      throw error;
    } finally {
      partial.close();
    }
    this.#enqueue({ path: file.path, place, temporary, mtimeNs: file.state.mtimeNs, bytes: file.state.size });
    if (this.#waiting.length >= batchFilesMax) await this.flush();
  }

  /** Whether the disk has taken everything that it was given so far. @throws CodedError DISK_FAILED, TARGET_FULL */
  async assertTaken(): Promise<void> {
    await this.#writeBack.settled();
    this.#assertNotLost();
  }

  #assertNotLost(): void {
    if (this.#lost !== null) throw this.#lost;
  }

  /** What the disk did not take is not there for the next run, which would read it from the kernel's memory. */
  #lose(path: RelativePath, temporary: Buffer, error: Error): void {
    try {
      fs.rmSync(temporary, { force: true });
      this.#lost ??= new CodedError('DISK_FAILED', pathFailure(path, error).message, { cause: error });
    } catch (failure) {
      this.#lost ??= failure instanceof Error ? failure : error;
    }
  }

  /** Removes what is there of a content that cannot be had. */
  discardPartial(file: PlannedFile): void {
    const place = this.#tree.hold(file.path);
    fs.rmSync(temporaryFile(place, file), { force: true });
    place.release();
  }

  /** Makes the link, unless it is there; true when it was. To be called when all files are written. */
  async writeSymlink(link: PlannedSymlink): Promise<boolean> {
    const place = this.#tree.hold(link.path);
    const found = statOrNull(place.file);
    try {
      if (found?.isSymbolicLink() === true && readLink(place.file).equals(link.state.target)) {
        if (found.uid !== BigInt(link.state.uid) || found.gid !== BigInt(link.state.gid)) {
          this.#tree.setLinkOwner(place.file, link.state);
        }
        this.#stamps.push({ file: place.file, mtimeNs: link.state.mtimeNs, place });
        if (this.#stamps.length >= batchFilesMax) await this.flush();
        return true;
      }
      if (found !== null) this.#checkReplaceable(link.path, found);
      const temporary = temporaryLink(place, link);
      fs.rmSync(temporary, { force: true });
      fs.symlinkSync(link.state.target, temporary);
      this.#tree.setLinkOwner(temporary, link.state);
      this.#enqueue({ path: link.path, place, temporary, mtimeNs: link.state.mtimeNs, bytes: 0 });
    } catch (error) {
      place.release();
      throw error;
    }
    if (this.#waiting.length >= batchFilesMax) await this.flush();
    return false;
  }

  /** Sets the times of everything that waits, then gives each its name. One flush runs at a time, in the order of calls. */
  flush(): Promise<void> {
    const waiting = this.#waiting;
    const stamps = this.#stamps;
    this.#waiting = [];
    this.#stamps = [];
    const flushed = this.#flushing.then(() => this.#flushBatch(waiting, stamps));
    this.#flushing = flushed.catch(() => {});
    return flushed;
  }

  /** Removes what interrupted runs left behind in the directories that this one has visited. */
  removeLeftovers(planned: ReadonlySet<RelativePath>): void {
    for (const [directory, names] of this.#tree.leftovers) {
      for (const name of names) {
        const path = (directory === '' ? name : `${directory}/${name}`) as RelativePath;
        if (planned.has(path)) continue;
        const place = this.#tree.hold(path);
        fs.rmSync(place.file, { force: true });
        place.release();
      }
    }
  }

  async #flushBatch(waiting: WaitingFile[], stamps: (TimeStamp & { place: HeldPlace })[]): Promise<void> {
    try {
      await this.#stamper.stamp([
        ...waiting.map(({ temporary, mtimeNs }) => ({ file: temporary, mtimeNs })),
        ...stamps,
      ]);
      crashPoint('restore.stamped');
      for (const file of waiting) this.#name(file);
    } finally {
      for (const { place } of [...waiting, ...stamps]) place.release();
    }
  }

  #name({ path, place, temporary, bytes }: WaitingFile): void {
    try {
      const found = statOrNull(place.file);
      if (found !== null) this.#checkReplaceable(path, found);
      fs.renameSync(temporary, place.file);
      crashPoint('restore.named');
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      this.#events.onFailed(pathFailure(path, error));
      return;
    }
    this.#events.onWritten(path, bytes);
  }

  #enqueue(file: WaitingFile): void {
    this.#waiting.push(file);
  }

  #putRight(state: FileState, fd: number, found: fs.BigIntStats): void {
    const sameOwner = found.uid === BigInt(state.uid) && found.gid === BigInt(state.gid);
    if (!sameOwner || (fs.fstatSync(fd).mode & 0o7777) !== state.mode) {
      this.#tree.setOwnerAndMode(fd, state, state.mode);
    }
  }

  #checkReplaceable(path: RelativePath, found: fs.BigIntStats): void {
    if (this.#options.inPlace && (found.isFile() || found.isSymbolicLink())) return;
    throw new CodedError('RESTORE_CONFLICT', `${displayPath(path)} is there with other content`, {
      hint: this.#options.inPlace
        ? 'move it out of the way'
        : 'restore elsewhere, or with --in-place to replace it',
    });
  }
}

/**
 * What goes wrong with one file as a line of the result.
 * @throws the error itself when it concerns all files: a full, read-only or broken disk
 */
export function pathFailure(path: RelativePath, error: unknown): PathFailure {
  if (isCoded(error)) return { path, code: error.code, message: error.message };
  const code = systemErrorCode(error);
  if (code === null || !(error instanceof Error)) throw error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    throw new CodedError('TARGET_FULL', 'the disk of the target is full', {
      hint: 'make room and run the same command again: it continues',
      cause: error,
    });
  }
  if (code === 'EROFS' || code === 'EIO' || code === 'EMFILE' || code === 'ENFILE') {
    throw new CodedError('DISK_FAILED', `writing ${displayPath(path)} failed (${code})`, { cause: error });
  }
  return { path, code: 'DISK_FAILED', message: `writing it failed (${code})` };
}

/** A file of our own may be unreadable to us; it becomes readable and gets its recorded mode later. */
function openToRead(file: Buffer, found: fs.BigIntStats): number {
  try {
    return fs.openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (systemErrorCode(error) !== 'EACCES' || found.uid !== BigInt(process.getuid?.() ?? -1)) throw error;
    fs.chmodSync(file, Number(found.mode & 0o7777n) | 0o400);
    return fs.openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  }
}

function statOrNull(file: Buffer): fs.BigIntStats | null {
  return fs.lstatSync(file, { bigint: true, throwIfNoEntry: false }) ?? null;
}

function readLink(file: Buffer): Buffer {
  return fs.readlinkSync(file, { encoding: 'buffer' });
}
