import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { limits } from '../../shared/protocol/limits.ts';
import { displayPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { ChunkBasis } from '../../shared/transfer/chunk-locations.ts';
import type { TimeStamper } from './exact-times.ts';
import { FolderWriter, pathFailure } from './folder-writer.ts';
import { openBasis } from './partial-file.ts';
import type { RestoreLink } from './restore-link.ts';
import type { FolderPlan, PathFailure, PlannedFile } from './restore-plan.ts';
import type { RestoreProgress } from './restore-progress.ts';
import { asCoded } from '../../shared/transfer/message-link.ts';
import { hasHash } from '../../shared/transfer/verified-read.ts';
import { TargetTree } from './target-tree.ts';

/** Files whose content is on its way at once; how many bytes that may be, the fetcher decides. */
const filesInFlightMax = 1024;
/** Large files at once: their first page of chunks takes the receiver a while. */
const largeFilesInFlightMax = 4;
/** A written file waits at most so long for its name. */
const flushIntervalMs = 1000;

export type FolderResult = {
  id: string;
  /** Files and links that this run has written. */
  files: number;
  bytes: number;
  /** Files and links that were there already. */
  skipped: number;
  failed: PathFailure[];
  ownersRefused: number;
};

type FolderRestoreDeps = {
  link: RestoreLink;
  stamper: TimeStamper;
  /** Shared by all folders of a run and updated as it goes. */
  progress: RestoreProgress;
  onProgress(): void;
};

export type FolderRestoreOptions = {
  target: string;
  targetMade: boolean;
  inPlace: boolean;
  keepOwners: boolean;
};

/**
 * Makes the target hold what the plan says. Everything that is there with the right content stays, so that an
 * interrupted run is continued by the next. Files that cannot be restored are counted, the rest goes on.
 * @throws CodedError what concerns all files: TARGET_FULL, DISK_FAILED, LINK_TIMEOUT, PROTOCOL_VIOLATION, …
 */
export async function restoreFolder(
  deps: FolderRestoreDeps,
  plan: FolderPlan,
  options: FolderRestoreOptions,
): Promise<FolderResult> {
  const tree = new TargetTree({
    root: options.target,
    rootMade: options.targetMade,
    keepOwners: options.keepOwners,
    inPlace: options.inPlace,
    directories: plan.directories,
  });
  try {
    return await new FolderRestore(deps, plan, options, tree).run();
  } finally {
    tree.close();
  }
}

class FolderRestore {
  readonly #deps: FolderRestoreDeps;
  readonly #plan: FolderPlan;
  readonly #options: FolderRestoreOptions;
  readonly #tree: TargetTree;
  readonly #writer: FolderWriter;
  readonly #result: FolderResult;
  readonly #failed = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  #large = 0;
  #onFree: () => void = () => {};
  #fatal: Error | null = null;

  constructor(deps: FolderRestoreDeps, plan: FolderPlan, options: FolderRestoreOptions, tree: TargetTree) {
    this.#deps = deps;
    this.#plan = plan;
    this.#options = options;
    this.#tree = tree;
    this.#result = { id: plan.folder, files: 0, bytes: 0, skipped: 0, failed: [], ownersRefused: 0 };
    this.#writer = new FolderWriter({ tree, stamper: deps.stamper }, options, {
      onWritten: (_, bytes) => {
        this.#result.files += 1;
        this.#result.bytes += bytes;
        deps.progress.files += 1;
        deps.onProgress();
      },
      onFailed: (failure) => this.#fail(failure),
    });
    for (const failure of plan.failures) this.#fail(failure);
  }

  async run(): Promise<FolderResult> {
    const flushing = setInterval(() => {
      this.#writer.flush().catch((error: unknown) => {
        this.#fatal ??= asCoded(error);
      });
    }, flushIntervalMs);
    try {
      for (const file of this.#plan.files) {
        await this.#roomFor(file);
        if (this.#fatal !== null) throw this.#fatal;
        await this.#begin(file);
      }
      await Promise.all(this.#running);
      await this.#writer.flush();
      if (this.#fatal !== null) throw this.#fatal;
    } finally {
      clearInterval(flushing);
      // On the way out because of an error: what has come whole still gets its name.
      await Promise.allSettled(this.#running);
      await this.#writer.flush().catch(() => {});
    }
    await this.#finish();
    return this.#result;
  }

  /** Waits until the file may begin. */
  async #roomFor(file: PlannedFile): Promise<void> {
    const largeMax = file.state.size > limits.wholeFileBytesMax ? largeFilesInFlightMax : Infinity;
    while (this.#running.size >= filesInFlightMax || this.#large >= largeMax) {
      await new Promise<void>((resolve) => {
        this.#onFree = resolve;
      });
    }
  }

  async #begin(file: PlannedFile): Promise<void> {
    try {
      if (await this.#writer.isThere(file)) {
        this.#result.skipped += 1;
        this.#deps.progress.files += 1;
        this.#deps.progress.bytes += file.state.size;
        this.#deps.onProgress();
        return;
      }
    } catch (error) {
      this.#fail(pathFailure(file.path, error));
      return;
    }
    const large = file.state.size > limits.wholeFileBytesMax;
    if (large) this.#large += 1;
    const running: Promise<void> = this.#restoreFile(file)
      .catch((error: unknown) => this.#failFile(file, error))
      .finally(() => {
        if (large) this.#large -= 1;
        this.#running.delete(running);
        this.#onFree();
      });
    this.#running.add(running);
  }

  async #restoreFile(file: PlannedFile): Promise<void> {
    if (file.state.size === 0) await this.#writeEmpty(file);
    else if (file.state.size <= limits.wholeFileBytesMax) await this.#fetchWhole(file);
    else await this.#fetchLarge(file);
  }

  /** Nothing is fetched that could be verified, but a listing may still lie. */
  async #writeEmpty(file: PlannedFile): Promise<void> {
    const empty = Buffer.alloc(0);
    if (!hasHash(empty, file.state.hash)) {
      throw new CodedError(
        'CONTENT_MISMATCH',
        `${displayPath(file.path)} is listed as empty, with another hash`,
      );
    }
    await this.#writer.writeWhole(file, empty);
  }

  async #fetchWhole(file: PlannedFile): Promise<void> {
    const outcome = await this.#deps.link.run(({ fetcher }) =>
      fetcher.fetchWhole(this.#wanted(file), async (bytes) => {
        await this.#writer.writeWhole(file, bytes);
        this.#received(bytes.length);
      }),
    );
    if (outcome !== 'taken') throw goneError(file, outcome);
  }

  async #fetchLarge(file: PlannedFile): Promise<void> {
    const partial = this.#writer.openPartial(file);
    const basis = this.#options.inPlace ? this.#basis(file) : null;
    let counted = 0;
    try {
      const bases: ChunkBasis[] = basis === null ? [] : [basis];
      const outcome = await this.#deps.link.run(({ fetcher }) => {
        const target = {
          size: partial.bytesThere,
          read: (offset: number, length: number) => partial.read(offset, length),
          write: async (offset: number, bytes: Uint8Array) => {
            await partial.write(offset, bytes);
            counted += bytes.length;
            this.#received(bytes.length);
          },
        };
        return fetcher.fetchChunked(this.#wanted(file), target, bases);
      });
      if (typeof outcome === 'string') throw goneError(file, outcome);
    } catch (error) {
      if (isCoded(error, 'CONTENT_GONE')) this.#writer.discardPartial(file);
      partial.close();
      throw error;
    } finally {
      basis?.close();
    }
    // What was reused was not counted, what came twice over two links was counted twice.
    this.#deps.progress.bytes += file.state.size - counted;
    await this.#writer.finishPartial(file, partial);
  }

  /** An older content of the same file, of which chunks can be taken. */
  #basis(file: PlannedFile): (ChunkBasis & { close(): void }) | null {
    const place = this.#tree.hold(file.path);
    try {
      return openBasis(place.file);
    } finally {
      place.release();
    }
  }

  #wanted(file: PlannedFile) {
    return { folder: this.#plan.folder, path: file.path, hash: file.state.hash, size: file.state.size };
  }

  #received(bytes: number): void {
    this.#deps.link.noteProgress();
    this.#deps.progress.bytes += bytes;
    this.#deps.progress.bytesReceived += bytes;
    this.#deps.onProgress();
  }

  #failFile(file: PlannedFile, error: unknown): void {
    if (this.#fatal !== null) return;
    try {
      if (isCoded(error) && !ofOneFile.has(error.code)) throw error;
      this.#fail(pathFailure(file.path, error));
    } catch (fatal) {
      this.#fatal = asCoded(fatal);
    }
  }

  /** Of one path the first reason: what is known to be lacking is also not given when it is asked for. */
  #fail(failure: PathFailure): void {
    if (this.#failed.has(failure.path)) return;
    this.#failed.add(failure.path);
    this.#result.failed.push(failure);
    this.#deps.progress.failed += 1;
    this.#deps.onProgress();
  }

  /** Links come after all files, so that none can stand where a file is to be written; then directories, deepest first. */
  async #finish(): Promise<void> {
    for (const link of this.#plan.symlinks) {
      try {
        if (await this.#writer.writeSymlink(link)) {
          this.#result.skipped += 1;
          this.#deps.progress.files += 1;
        }
      } catch (error) {
        this.#fail(pathFailure(link.path, error));
      }
    }
    await this.#writer.flush();
    for (const { path, error } of this.#tree.makeDirectories()) this.#failDirectory(path, error);
    const { files, symlinks } = this.#plan;
    this.#writer.removeLeftovers(new Set([...files, ...symlinks].map(({ path }) => path)));
    for (const { path, error } of this.#tree.finish()) this.#failDirectory(path, error);
    this.#result.ownersRefused = this.#tree.ownersRefused;
  }

  /** A directory that is in the way fails for itself only where nothing below it has told so already. */
  #failDirectory(path: RelativePath, error: unknown): void {
    const told = this.#result.failed.some(
      (failure) => failure.path === path || failure.path.startsWith(`${path}/`),
    );
    if (!told) this.#fail(pathFailure(path, error));
  }
}

/** What such an error says about one file says nothing about the others. */
const ofOneFile: ReadonlySet<string> = new Set([
  'CONTENT_GONE',
  'CONTENT_MISMATCH',
  'RESTORE_CONFLICT',
  'PATH_INVALID',
]);

export function goneError(
  file: { path: RelativePath },
  reason: 'vanished' | 'changed' | 'unreadable',
): CodedError {
  const why = { vanished: 'is no longer there', changed: 'is damaged', unreadable: 'cannot be read' }[reason];
  return new CodedError('CONTENT_GONE', `content of ${displayPath(file.path)} ${why} on the receiver`, {
    hint: 'another receiver may have it, or another moment',
  });
}
