import fs from 'node:fs';
import type { ManifestEntry, ManifestFile } from '../../shared/sealing/manifest-entry.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { displayPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { TimeStamper } from './exact-times.ts';
import type { FolderRestoreOptions, FolderResult } from './folder-restore.ts';
import { FolderWriter, pathFailure } from './folder-writer.ts';
import type { PartialFile } from './partial-file.ts';
import type { PathFilter } from './path-filter.ts';
import { planFolder, type FolderPlan, type PlannedFile, type RestoreEntry } from './restore-plan.ts';
import { sliceOf, type SealedContent } from './sealed-content.ts';
import { TargetTree } from './target-tree.ts';

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
  /** A file is in its place, or so many bytes of files are written. */
  onProgress(progress: { files: number; bytes: number }): void;
};

/**
 * Makes the target hold one version of a sealed folder: pack by pack, each opened once, its parts written to temporary
 * files at their offsets. No file gets its final name before every pack has come, was opened, and every file has its
 * hash; when anything of that fails, all that was written is removed again.
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
  try {
    return await new SealedRestore(deps, planned, options, tree).run();
  } catch (error) {
    if (options.targetMade) removeContent(root);
    else tree.removeMade();
    throw error;
  } finally {
    tree.close();
  }
}

/** The target was made for this restore: nothing in it is anybody else's. */
function removeContent(root: string): void {
  for (const name of fs.readdirSync(root)) fs.rmSync(`${root}/${name}`, { recursive: true, force: true });
}

class SealedRestore {
  readonly #deps: Deps;
  readonly #planned: SealedPlan;
  readonly #tree: TargetTree;
  readonly #writer: FolderWriter;
  readonly #result: FolderResult;
  /** In the order of their last use. */
  readonly #open = new Map<PlannedFile, PartialFile>();
  readonly #begun = new Set<PlannedFile>();

  constructor(deps: Deps, planned: SealedPlan, options: FolderRestoreOptions, tree: TargetTree) {
    this.#deps = deps;
    this.#planned = planned;
    this.#tree = tree;
    const { folder: id, failures } = planned.plan;
    this.#result = { id, files: 0, bytes: 0, skipped: 0, failed: [...failures], ownersRefused: 0 };
    this.#writer = new FolderWriter({ tree, stamper: deps.stamper }, options, {
      onWritten: (_, bytes) => {
        this.#result.files += 1;
        this.#result.bytes += bytes;
        deps.onProgress({ files: 1, bytes: 0 });
      },
      onFailed: (failure) => this.#result.failed.push(failure),
    });
  }

  async run(): Promise<FolderResult> {
    const lacking: PlannedFile[] = [];
    for (const file of this.#planned.plan.files) {
      if (!(await this.#writer.isThere(file))) lacking.push(file);
      else {
        this.#result.skipped += 1;
        this.#deps.onProgress({ files: 1, bytes: file.state.size });
      }
    }
    await this.#writer.flush();
    try {
      for (const file of lacking) if (file.state.size === 0) this.#partial(file);
      await this.#writePacks(lacking);
      await this.#verify();
    } catch (error) {
      this.#discard();
      throw error;
    }
    for (const file of this.#begun) await this.#writer.finishPartial(file, this.#partial(file), true);
    await this.#finish();
    return this.#result;
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
    for await (const { hash, chunks } of this.#deps.content.packs(uses.packs())) {
      for (const { file, at, offset, length } of uses.of(hash)) {
        this.#partial(file).write(at, sliceOf(chunks, { offset, length }));
        this.#deps.onProgress({ files: 0, bytes: length });
      }
    }
  }

  async #verify(): Promise<void> {
    for (const file of this.#begun) {
      if (await this.#partial(file).verify(file.state.hash)) continue;
      throw new CodedError(
        'CONTENT_MISMATCH',
        `what was sealed as ${displayPath(file.path)} does not have the hash that its manifest tells`,
      );
    }
  }

  /** The file's temporary content, open; anew from nothing the first time in this run. */
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
      this.#writer.discardPartial(file);
      this.#begun.add(file);
    }
    const partial = this.#writer.openPartial(file);
    this.#open.set(file, partial);
    return partial;
  }

  #discard(): void {
    for (const partial of this.#open.values()) partial.close();
    this.#open.clear();
    for (const file of this.#begun) this.#writer.discardPartial(file);
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
    for (const { path, error } of this.#tree.finish()) this.#result.failed.push(pathFailure(path, error));
    this.#result.ownersRefused = this.#tree.ownersRefused;
  }
}

type Use = { file: PlannedFile; at: number; offset: number; length: number };

/** Which parts of which pack go where, held as plain numbers: a large dump has millions of them. */
class PackUses {
  readonly #files: PlannedFile[] = [];
  readonly #numbers = new Map<PlannedFile, number>();
  readonly #uses = new Map<string, number[]>();

  add(pack: string, { file, at, offset, length }: Use): void {
    let number = this.#numbers.get(file);
    if (number === undefined) {
      number = this.#files.push(file) - 1;
      this.#numbers.set(file, number);
    }
    const uses = this.#uses.get(pack) ?? [];
    uses.push(number, at, offset, length);
    this.#uses.set(pack, uses);
  }

  /** In the order in which files need them first. */
  packs(): string[] {
    return [...this.#uses.keys()];
  }

  *of(pack: string): Generator<Use> {
    const uses = this.#uses.get(pack) ?? [];
    for (let index = 0; index < uses.length; index += 4) {
      const [number = 0, at = 0, offset = 0, length = 0] = uses.slice(index, index + 4);
      const file = this.#files[number];
      if (file !== undefined) yield { file, at, offset, length };
    }
  }
}
