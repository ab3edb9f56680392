import type { DiskPath } from '../../shared/io/disk.ts';
import type { ErrorCode } from '../../shared/errors/error-table.ts';
import type { Additions, UnsyncedContent } from './batch-files.ts';

/** What the thread is asked to do; see `BatchFiles`. */
export type BatchFilesTask =
  | { type: 'syncContents'; incoming: DiskPath; contents: readonly UnsyncedContent[] }
  | { type: 'add'; additions: Additions };

export type BatchFilesRequest = { id: number; task: BatchFilesTask };

/** `done`: what `add` resolves with. `context`: of a CodedError, null: the error was none. */
export type BatchFilesAnswer = { id: number } & (
  | { type: 'done'; done: boolean }
  | {
      type: 'failed';
      code: ErrorCode;
      message: string;
      hint: string | null;
      context: Readonly<Record<string, unknown>>;
    }
);
