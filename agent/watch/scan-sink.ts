import type { BigIntStats } from 'node:fs';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { DirectoryNote } from '../index/directory-table.ts';
import type { FolderIndex, PathChange } from '../index/folder-index.ts';
import type { ContentReader } from './content-reader.ts';
import type { IgnoreRules } from '../ignore-rules.ts';

/** Where a look at the tree gets what it needs and leaves what it finds. */
export type ScanSink = {
  readonly index: FolderIndex;
  readonly rules: IgnoreRules;
  readonly reader: ContentReader;
  /** Compare size and mtime only. */
  isNetwork(): boolean;
  nowMs(): number;
  /** True when the thread has been kept long enough; the look yields then. */
  sliceIsOver(): boolean;
  /** How often this walk, or these looks, could not say all of what they met: how often `unsettled`, `lookAgain`, `unreadable` and `special` were called. */
  doubts(): number;
  /** How many changes looks have found since the beginning. */
  foundByLooks(): number;
  /** A walk's knowledge of directories; it is committed after the changes that were found before. */
  note(note: DirectoryNote): void;
  /** Called before a directory's rows are read: what was found in or below it, but is not committed yet, must be by then. */
  beforeDirectory(directory: RelativePath): void;
  /** A change to commit; changes are committed in this order. */
  change(change: PathChange): void;
  /** Look again when it has been still for longer. */
  unsettled(path: RelativePath, stat: BigIntStats, lookAgainInMs: number): void;
  /** The directory changed under the look: look at it once more. */
  lookAgain(directory: RelativePath): void;
  /** Cannot be read; what the index knows of it (and below it) stays. `named`: whether the index has it. */
  unreadable(path: RelativePath, error: unknown, named: boolean): void;
  /** A socket, FIFO or device. */
  special(path: RelativePath): void;
  /** The entries of a directory were looked at; `newestNs` is the latest change time in it. */
  listed(directory: RelativePath, newestNs: bigint, entries: number): void;
};
