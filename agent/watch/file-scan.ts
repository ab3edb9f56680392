import fs, { type BigIntStats } from 'node:fs';
import { parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { sameState, type IndexRow } from '../index/index-row.ts';
import { chunkedAboveBytes } from '../index/chunk-list-blob.ts';
import { entryPath, isAbsence, openFileIn } from '../index/source-file.ts';
import type { ReadContent } from './content-reader.ts';
import type { ScanSink } from './scan-sink.ts';
import { settle } from './settle.ts';
import { isKnown, modeOf, signatureOf } from './signature.ts';

type Entry = { name: string; path: RelativePath; row: IndexRow | null };

/**
 * Reads the file and records it, where the index does not know it as it is. A file that is not still yet goes to
 * `unsettled`. `stillForMs`: how long this signature has been seen already.
 */
export function* recordFile(
  sink: ScanSink,
  directoryFd: number,
  entry: Entry,
  stat: BigIntStats,
  stillForMs = 0,
): Generator<undefined, void> {
  const { path, row } = entry;
  if (row !== null && isKnown(row, stat, sink.isNetwork())) return;
  const verdict = settle({
    size: Number(stat.size),
    mtimeNs: stat.mtimeNs,
    ctimeNs: sink.isNetwork() ? null : stat.ctimeNs,
    nowMs: sink.nowMs(),
    stillForMs,
  });
  if (!verdict.ready) {
    sink.unsettled(path, stat, verdict.lookAgainInMs);
    return;
  }
  let fd: number;
  try {
    fd = openFileIn(directoryFd, entry.name);
  } catch (error) {
    if (isAbsence(error)) sink.lookAgain(parentPath(path) ?? path);
    else sink.unreadable(path, error, row !== null);
    return;
  }
  try {
    yield* readOpenFile(sink, directoryFd, entry, stat, fd);
  } finally {
    fs.closeSync(fd);
  }
}

function* readOpenFile(
  sink: ScanSink,
  directoryFd: number,
  { name, path, row }: Entry,
  stat: BigIntStats,
  fd: number,
): Generator<undefined, void> {
  const directory = parentPath(path) ?? path;
  const same = (other: BigIntStats) =>
    signatureOf(other, sink.isNetwork()) === signatureOf(stat, sink.isNetwork());
  const before = fs.fstatSync(fd, { bigint: true });
  if (!before.isFile()) {
    sink.lookAgain(directory);
    return;
  }
  if (!same(before)) {
    sink.unsettled(path, before, 0);
    return;
  }
  let content: ReadContent;
  try {
    content = yield* sink.reader.read(fd, Number(before.size));
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    sink.unreadable(path, error, row !== null);
    return;
  }
  const after = fs.fstatSync(fd, { bigint: true });
  if (!same(after) || BigInt(content.size) !== after.size) {
    sink.unsettled(path, after, 0);
    return;
  }
  // Other looks may have run while a large file was read.
  if (content.size > chunkedAboveBytes && !isStillThere(directoryFd, name, same)) {
    sink.lookAgain(directory);
    return;
  }
  sink.change({
    path,
    state: {
      kind: 'file',
      size: content.size,
      mtimeNs: before.mtimeNs,
      mode: modeOf(before),
      uid: Number(before.uid),
      gid: Number(before.gid),
      hash: content.hash,
    },
    ctimeNs: before.ctimeNs,
    ino: before.ino,
    chunks: content.chunks,
  });
}

/** Records a symbolic link by its text; it is not followed, and needs no settling because it cannot be half written. */
export function recordSymlink(
  sink: ScanSink,
  directoryFd: number,
  { name, path, row }: Entry,
  stat: BigIntStats,
): void {
  try {
    const target = fs.readlinkSync(entryPath(directoryFd, name), { encoding: 'buffer' });
    const state = {
      kind: 'symlink',
      target,
      mtimeNs: stat.mtimeNs,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
    } as const;
    if (row !== null && !row.dirty && sameState(row.state, state)) return;
    sink.change({ path, state, ctimeNs: stat.ctimeNs, ino: stat.ino, chunks: null });
  } catch (error) {
    // EINVAL: it is no link any more.
    const changed =
      isAbsence(error) || (error instanceof Error && 'code' in error && error.code === 'EINVAL');
    if (changed) sink.lookAgain(parentPath(path) ?? path);
    else sink.unreadable(path, error, row !== null);
  }
}

function isStillThere(directoryFd: number, name: string, same: (stat: BigIntStats) => boolean): boolean {
  try {
    return same(fs.lstatSync(entryPath(directoryFd, name), { bigint: true }));
  } catch {
    return false;
  }
}
