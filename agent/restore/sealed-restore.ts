import fs from 'node:fs';
import type { ManifestEntry, ManifestFile } from '../../shared/sealing/manifest-entry.ts';
import { CodedError, isCoded, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { displayPath, rootPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { TimeStamper } from './exact-times.ts';
import type { FolderRestoreOptions, FolderResult } from './folder-restore.ts';
import { FolderWriter, pathFailure } from './folder-writer.ts';
import type { PartialFile } from './partial-file.ts';
import type { PathFilter } from './path-filter.ts';
import { planFolder, type FolderPlan, type PlannedFile, type RestoreEntry } from './restore-plan.ts';
import { PackUses, type PackUse } from './pack-uses.ts';
import { sliceOf, type SealedContent } from './sealed-content.ts';
import { checksumParts, StagingLedger } from './staging-ledger.ts';
import { TargetTree } from './target-tree.ts';
import { fileKey, temporaryNote } from './temporary-file.ts';

/** Temporary files that are open at once. */
const filesOpenMax = 64;

/** What one version of a sealed folder makes: the plan, and which part of which pack goes where. */
export type SealedPlan = { plan: FolderPlan; files: ReadonlyMap<RelativePath, ManifestFile> };

/** What has to be made for the entries of a manifest that the filter wants. */
export function planSealed(
  folder: string,
  entries: readonly ManifestEntry[],
  filter: PathFilter,
): SealedPlan {
  const files = new Map<RelativePath, ManifestFile>();
  for (const entry of entries) if (entry.type === 'file') files.set(entry.path, entry);
  return { plan: planFolder(folder, entries.map(toRestoreEntry), filter), files };
}

function toRestoreEntry(entry: ManifestEntry): RestoreEntry {
  const { path, uid, gid, mtimeNs } = entry;
  switch (entry.type) {
    case 'file': {
      const { size, mode, hash } = entry;
      return { path, state: { kind: 'file', size, mtimeNs, mode, uid, gid, hash } };
    }
    case 'directory':
      return { path, state: { kind: 'directory', mode: entry.mode, uid, gid } };
    case 'symlink':
      return { path, state: { kind: 'symlink', target: entry.target, mtimeNs, uid, gid } };
  }
}

type Deps = {
  content: SealedContent;
  stamper: TimeStamper;
  /** A file is in its place, or so many bytes of files are there: `fetched` by this run, `kept` from before. */
  onProgress(progress: { files?: number; fetched?: number; kept?: number }): void;
};

/**
 * Makes the target hold one version of a sealed folder: pack by pack, each opened once, its parts written to temporary
 * files at their offsets. No file gets its final name before every pack has come, was opened, and every file has its
 * hash. When anything of that fails, all that was written is removed again; what was only interrupted (a lost link, a
 * full disk, a kill) is kept under temporary names, and the next run of the same version continues it.
 * @throws CodedError KEY_WRONG, PACK_CORRUPT, CONTENT_GONE, CONTENT_MISMATCH, MANIFEST_INVALID, RESTORE_CONFLICT, TARGET_FULL
 */
export async function restoreSealed(
  deps: Deps,
  planned: SealedPlan,
  options: FolderRestoreOptions,
): Promise<FolderResult> {
  const { target: root, targetMade: rootMade, keepOwners, inPlace } = options;
  const { directories } = planned.plan;
  const tree = new TargetTree({ root, rootMade, keepOwners, inPlace, directories });
  let ledger: StagingLedger | null = null;
  try {
    ledger = openLedger(tree, deps.content.root);
    return await new SealedRestore({ ...deps, tree, ledger }, planned, options).run();
  } catch (error) {
    if (!isInterruption(error)) {
      ledger?.remove();
      if (options.targetMade) removeContent(root);
      else tree.removeMade(ledger?.isContinued === true);
    }
    throw error;
  } finally {
    ledger?.close();
    tree.close();
  }
}

function openLedger(tree: TargetTree, subject: string): StagingLedger {
  const place = tree.hold('.' as RelativePath);
  try {
    return new StagingLedger(temporaryNote(place, subject));
  } finally {
    place.release();
  }
}

/** Whether the same run may succeed later: then what it has written is worth keeping. */
function isInterruption(error: unknown): boolean {
  if (!isCoded(error)) return false;
  return (
    error.code.startsWith('LINK_') || ['TARGET_FULL', 'DISK_FAILED', 'ROLE_REFUSED'].includes(error.code)
  );
}

/** The target was made for this restore: nothing in it is anybody else's. */
function removeContent(root: string): void {
  for (const name of fs.readdirSync(root)) fs.rmSync(`${root}/${name}`, { recursive: true, force: true });
}

class SealedRestore {
  readonly #deps: Deps;
  readonly #planned: SealedPlan;
  readonly #tree: TargetTree;
  readonly #ledger: StagingLedger;
  readonly #writer: FolderWriter;
  readonly #result: FolderResult;
  /** In the order of their last use. */
  readonly #open = new Map<PlannedFile, PartialFile>();
  readonly #begun = new Set<PlannedFile>();

  constructor(
    deps: Deps & { tree: TargetTree; ledger: StagingLedger },
    planned: SealedPlan,
    options: FolderRestoreOptions,
  ) {
    const { tree } = deps;
    this.#deps = deps;
    this.#planned = planned;
    this.#tree = tree;
    this.#ledger = deps.ledger;
    const { folder: id, failures } = planned.plan;
    this.#result = { id, files: 0, bytes: 0, skipped: 0, failed: [...failures], ownersRefused: 0 };
    this.#writer = new FolderWriter({ tree, stamper: deps.stamper }, options, {
      onWritten: (_, bytes) => {
        this.#result.files += 1;
        this.#result.bytes += bytes;
        deps.onProgress({ files: 1 });
      },
      onFailed: (failure) => this.#result.failed.push(failure),
    });
  }

  async run(): Promise<FolderResult> {
    try {
      const lacking = await this.#findLacking();
      for (const file of lacking) if (file.state.size === 0) this.#partial(file);
      await this.#writePacks(lacking);
      await this.#verify();
    } catch (error) {
      const failure = asFailure(error);
      this.#close();
      if (!isInterruption(failure)) this.#discard();
      throw failure;
    }
    for (const file of this.#begun) await this.#writer.finishPartial(file, this.#partial(file), true);
    await this.#finish();
    return this.#result;
  }

  /**
   * Puts right what is there already and gives the rest. Looks at every place before it throws, so that what earlier
   * runs left is known.
   */
  async #findLacking(): Promise<PlannedFile[]> {
    const lacking: PlannedFile[] = [];
    const failures: unknown[] = [];
    for (const file of this.#planned.plan.files) {
      try {
        if (!(await this.#writer.isThere(file))) {
          lacking.push(file);
          continue;
        }
      } catch (error) {
        failures.push(error);
        continue;
      }
      this.#result.skipped += 1;
      this.#deps.onProgress({ files: 1, kept: file.state.size });
    }
    await this.#writer.flush();
    if (failures.length > 0) throw failures[0];
    return lacking;
  }

  async #writePacks(files: readonly PlannedFile[]): Promise<void> {
    const uses = new PackUses();
    for (const file of files) {
      let at = 0;
      for (const { pack, offset, length } of this.#planned.files.get(file.path)?.extents ?? []) {
        uses.add(pack, { file, at, offset, length });
        at += length;
      }
    }
    const lacking: string[] = [];
    for (const pack of uses.packs()) if (!(await this.#isKept(pack, uses.of(pack)))) lacking.push(pack);
    for await (const { hash, chunks } of this.#deps.content.packs(lacking)) {
      const lines = [];
      for (const { file, parts } of uses.of(hash)) {
        const written = parts.map((part) => sliceOf(chunks, part));
        const partial = this.#partial(file);
        for (const [index, bytes] of written.entries()) await partial.write(parts[index]?.at ?? 0, bytes);
        this.#deps.onProgress({ fetched: sumLength(parts) });
        lines.push({ pack: hash, file: fileKey(file), parts: checksumParts(written) });
      }
      this.#ledger.add(lines);
    }
  }

  /** Whether an interrupted run has written all parts of the pack, and they are still what it wrote. */
  async #isKept(pack: string, uses: Iterable<PackUse>): Promise<boolean> {
    if (!this.#ledger.isContinued) return false;
    let bytes = 0;
    for (const { file, parts } of uses) {
      const told = this.#ledger.partsOf(pack, fileKey(file));
      if (told === null) return false;
      const partial = this.#partial(file);
      const kept = [];
      for (const { at, length } of parts) kept.push(await partial.read(at, length));
      if (checksumParts(kept) !== told) return false;
      bytes += sumLength(parts);
    }
    this.#deps.onProgress({ kept: bytes });
    return true;
  }

  async #verify(): Promise<void> {
    await this.#writer.assertTaken();
    for (const file of this.#begun) {
      if (await this.#partial(file).verify(file.state.hash)) continue;
      throw new CodedError(
        'CONTENT_MISMATCH',
        `what was sealed as ${displayPath(file.path)} does not have the hash that its manifest tells`,
      );
    }
  }

  /** The file's temporary content, open; the first time in a run that continues none, from nothing. */
  #partial(file: PlannedFile): PartialFile {
    const open = this.#open.get(file);
    if (open !== undefined) {
      this.#open.delete(file);
      this.#open.set(file, open);
      return open;
    }
    for (const [oldest, partial] of this.#open) {
      if (this.#open.size < filesOpenMax) break;
      this.#open.delete(oldest);
      partial.close();
    }
    if (!this.#begun.has(file)) {
      if (!this.#ledger.isContinued) this.#writer.discardPartial(file);
      this.#begun.add(file);
    }
    const partial = this.#writer.openPartial(file);
    this.#open.set(file, partial);
    return partial;
  }

  #close(): void {
    for (const partial of this.#open.values()) partial.close();
    this.#open.clear();
  }

  #discard(): void {
    for (const file of this.#begun) this.#writer.discardPartial(file);
    this.#writer.removeLeftovers(new Set());
  }

  async #finish(): Promise<void> {
    for (const link of this.#planned.plan.symlinks) {
      try {
        if (await this.#writer.writeSymlink(link)) this.#result.skipped += 1;
      } catch (error) {
        this.#result.failed.push(pathFailure(link.path, error));
      }
    }
    await this.#writer.flush();
    for (const { path, error } of this.#tree.makeDirectories())
      this.#result.failed.push(pathFailure(path, error));
    this.#ledger.remove();
    const { files, symlinks } = this.#planned.plan;
    this.#writer.removeLeftovers(new Set([...files, ...symlinks].map(({ path }) => path)));
    for (const { path, error } of this.#tree.finish()) this.#result.failed.push(pathFailure(path, error));
    this.#result.ownersRefused = this.#tree.ownersRefused;
  }
}

/** A failure of the disk while temporary files are written concerns the whole restore. */
function asFailure(error: unknown): unknown {
  if (isCoded(error) || systemErrorCode(error) === null) return error;
  try {
    const { message } = pathFailure(rootPath, error);
    return new CodedError('DISK_FAILED', message, { cause: error });
  } catch (failure) {
    return failure;
  }
}

function sumLength(parts: readonly { length: number }[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}
