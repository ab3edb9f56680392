import type { ErrorCode } from '../../shared/errors/error-table.ts';
import type { DirectoryState, FileState, SymlinkState } from '../../shared/records/file-record.ts';
import { parentPath, type RelativePath, rootPath } from '../../shared/records/relative-path.ts';
import type { PathFilter } from './path-filter.ts';

/** What a path was at the moment that is restored. */
export type RestoreEntry = { path: RelativePath; state: FileState | SymlinkState | DirectoryState };

export type PlannedFile = { path: RelativePath; state: FileState };
export type PlannedSymlink = { path: RelativePath; state: SymlinkState };

/**
 * A directory that has to be there. `metadata`: its own record's or that of the nearest recorded directory above it;
 * null when there is none. `selected`: the query wants the directory itself, not only something below it.
 */
export type PlannedDirectory = {
  path: RelativePath;
  metadata: { mode: number; uid: number; gid: number } | null;
  selected: boolean;
};

export type PathFailure = { path: RelativePath; code: ErrorCode; message: string };

/** Everything that one folder's restore has to make; parents come before what is below them. */
export type FolderPlan = {
  folder: string;
  directories: PlannedDirectory[];
  files: PlannedFile[];
  symlinks: PlannedSymlink[];
  /** Content of all files. */
  bytes: number;
  /** Entries that cannot all be true, such as a file below a file: never written. */
  failures: PathFailure[];
};

/**
 * What has to be made for the entries that the filter wants, which may come in any order, each path once.
 * Directories that are the way to a wanted file are planned too; those without a record get what the nearest recorded
 * directory above has, as the agent records a directory only where it differs.
 */
export function planFolder(folder: string, entries: readonly RestoreEntry[], filter: PathFilter): FolderPlan {
  const plan: FolderPlan = { folder, directories: [], files: [], symlinks: [], bytes: 0, failures: [] };
  const recorded = new Map<RelativePath, DirectoryState>();
  const leaves = new Set<RelativePath>();
  for (const { path, state } of entries) {
    if (state.kind === 'directory') recorded.set(path, state);
    else leaves.add(path);
  }

  const directories = new Map<RelativePath, PlannedDirectory | null>();
  /** Plans the directory and those above it; null when something else than a directory stands on the way. */
  const planDirectory = (path: RelativePath): PlannedDirectory | null => {
    const known = directories.get(path);
    if (known !== undefined) return known;
    const above = parentPath(path);
    const parent = above === null ? null : planDirectory(above);
    const blocked = leaves.has(path) || (above !== null && parent === null);
    const metadata = recorded.get(path) ?? parent?.metadata ?? null;
    const planned = blocked ? null : { path, metadata, selected: filter(path, true) };
    directories.set(path, planned);
    if (planned !== null) plan.directories.push(planned);
    return planned;
  };

  planDirectory(rootPath);
  for (const entry of entries) {
    const { path, state } = entry;
    if (!filter(path, state.kind === 'directory')) continue;
    const above = parentPath(path);
    if (
      state.kind === 'directory'
        ? planDirectory(path) === null
        : above === null || planDirectory(above) === null
    ) {
      plan.failures.push({
        path,
        code: 'PATH_INVALID',
        message: 'its directory is recorded as something else',
      });
    } else if (state.kind === 'file') {
      plan.files.push({ path, state });
      plan.bytes += state.size;
    } else if (state.kind === 'symlink') {
      plan.symlinks.push({ path, state });
    }
  }
  return plan;
}
