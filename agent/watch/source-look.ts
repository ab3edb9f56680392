import fs, { type BigIntStats } from 'node:fs';
import { baseName, parentPath, rootPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { entryPath, isAbsence, openDirectoryBelow } from '../index/source-file.ts';
import { deleteBelow, scanDirectory } from './directory-scan.ts';
import { recordFile, recordSymlink } from './file-scan.ts';
import type { LookRequest } from './folder-watch.ts';
import type { ScanSink } from './scan-sink.ts';

/** What looks at single places of a source need besides the sink. */
export type LookContext = {
  root: string;
  sink: ScanSink;
  /** How long the path has been seen with this signature. */
  stillForMs(path: RelativePath, stat: BigIntStats): number;
  requestLook(request: LookRequest): void;
  /** The directory is not there any more. */
  vanished(directory: RelativePath): void;
  /** @throws CodedError SOURCE_STOPPED when the source itself is not what it was */
  requireSource(): void;
};

/** Looks at one directory again, not at those below it, except `into` and new ones. */
export function* lookAtDirectory(
  context: LookContext,
  directory: RelativePath,
  into: ReadonlySet<string>,
): Generator<undefined, void> {
  let parentStat: BigIntStats | null = null;
  let fd: number;
  try {
    fd = openDirectoryBelow(context.root, directory, (open) => {
      parentStat = fs.fstatSync(open, { bigint: true });
    });
  } catch (error) {
    lookFailed(context, directory, error);
    return;
  }
  try {
    const stat = fs.fstatSync(fd, { bigint: true });
    const entering = (path: RelativePath, name: string) =>
      into.has(name) || isUnknown(context.sink, path) ? 'now' : 'never';
    yield* scanDirectory(context.sink, { path: directory, fd, stat, parentStat }, entering);
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    lookFailed(context, directory, error);
  } finally {
    fs.closeSync(fd);
  }
}

/** Looks at what had to settle: a file, a link, an empty directory, or a directory that changed under a look. */
export function* lookAtPath(context: LookContext, path: RelativePath): Generator<undefined, void> {
  const { sink } = context;
  const parent = parentPath(path);
  if (parent === null) {
    yield* lookAtDirectory(context, rootPath, new Set());
    return;
  }
  let directoryFd: number;
  try {
    directoryFd = openDirectoryBelow(context.root, parent);
  } catch (error) {
    lookFailed(context, parent, error);
    return;
  }
  try {
    const name = baseName(path);
    const stat = fs.lstatSync(entryPath(directoryFd, name), { bigint: true });
    const entry = { name, path, row: sink.index.get(path) };
    // Where a directory was when it was last seen, whatever the index has below it went with it.
    const mayHaveRowsBelow = entry.row === null || entry.row.state.kind === 'directory';
    if (mayHaveRowsBelow && (stat.isFile() || stat.isSymbolicLink())) yield* deleteBelow(sink, path);
    if (stat.isFile()) yield* recordFile(sink, directoryFd, entry, stat, context.stillForMs(path, stat));
    else if (stat.isSymbolicLink()) recordSymlink(sink, directoryFd, entry, stat);
    else if (stat.isDirectory()) yield* lookAtDirectory(context, path, new Set());
    else context.requestLook({ directory: parent, into: [] });
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    if (isAbsence(error)) context.requestLook({ directory: parent, into: [] });
    else sink.unreadable(path, error, sink.index.get(path) !== null);
  } finally {
    fs.closeSync(directoryFd);
  }
}

/** Whether the index has nothing of the directory: nothing at all, or a file or link that stood in its place. */
function isUnknown(sink: ScanSink, directory: RelativePath): boolean {
  return (
    sink.index.get(directory)?.state.kind !== 'directory' && sink.index.below(directory, null, 1).length === 0
  );
}

function lookFailed(context: LookContext, directory: RelativePath, error: unknown): void {
  const parent = parentPath(directory);
  if (parent === null) {
    context.requireSource();
    context.sink.lookAgain(rootPath);
  } else if (isAbsence(error)) {
    context.vanished(directory);
    context.requestLook({ directory: parent, into: [baseName(directory)] });
  } else {
    context.sink.unreadable(directory, error, false);
  }
}
