import type { FileRecord, PathState } from '../../shared/records/file-record.ts';
import { joinPath, parentPath, baseName, type RelativePath } from '../../shared/records/relative-path.ts';

/** What the index knows of a live path; `ctimeNs` and `ino` serve the scanner only and are never announced. */
export type IndexRow = {
  name: string;
  sequence: number;
  state: Exclude<PathState, { kind: 'deleted' }>;
  ctimeNs: bigint;
  ino: bigint;
  dirty: boolean;
};

/** The columns of `records` that describe a state, as SQLite gives them with safe integers on. */
export type StateColumns = {
  kind: bigint;
  size: bigint;
  mtime_ns: bigint;
  mode: bigint;
  uid: bigint;
  gid: bigint;
  content: Buffer | null;
};

/** All columns of a live row but where it lies. */
export type RowColumns = StateColumns & {
  name: Buffer;
  sequence: bigint;
  ctime_ns: bigint;
  ino: bigint;
  dirty: bigint;
};

/** Numbers of the `kind` column; 0 stands for a deletion in the encoding of a batch. */
export const kindNumber = { deleted: 0, file: 1, symlink: 2, directory: 3 } as const;

const empty = Buffer.alloc(0);

/** The state that a row of `records` holds. */
export function decodeState(row: StateColumns): IndexRow['state'] {
  const owner = { uid: Number(row.uid), gid: Number(row.gid) };
  switch (Number(row.kind)) {
    case kindNumber.file:
      return {
        kind: 'file',
        size: Number(row.size),
        mtimeNs: row.mtime_ns,
        mode: Number(row.mode),
        ...owner,
        hash: row.content ?? empty,
      };
    case kindNumber.symlink:
      return { kind: 'symlink', target: row.content ?? empty, mtimeNs: row.mtime_ns, ...owner };
    default:
      return { kind: 'directory', mode: Number(row.mode), ...owner };
  }
}

/** What a row of `records` says of its path. */
export function decodeRow(row: RowColumns): IndexRow {
  return {
    name: row.name.toString('latin1'),
    sequence: Number(row.sequence),
    state: decodeState(row),
    ctimeNs: row.ctime_ns,
    ino: row.ino,
    dirty: row.dirty === 1n,
  };
}

/** The columns of a state, in the order kind, size, mtime_ns, mode, uid, gid, content. */
export function encodeState(
  state: IndexRow['state'],
): [number, number, bigint, number, number, number, Buffer | null] {
  switch (state.kind) {
    case 'file':
      return [kindNumber.file, state.size, state.mtimeNs, state.mode, state.uid, state.gid, state.hash];
    case 'symlink':
      return [
        kindNumber.symlink,
        state.target.length,
        state.mtimeNs,
        0o777,
        state.uid,
        state.gid,
        state.target,
      ];
    case 'directory':
      return [kindNumber.directory, 0, 0n, state.mode, state.uid, state.gid, null];
  }
}

/** True when nothing of the state has to be announced again. */
export function sameState(a: PathState, b: PathState): boolean {
  if (a.kind === 'deleted' || b.kind === 'deleted') return a.kind === b.kind;
  const left = encodeState(a);
  const right = encodeState(b);
  return left.every((value, at) => {
    const other = right[at];
    return Buffer.isBuffer(value) ? Buffer.isBuffer(other) && value.equals(other) : value === other;
  });
}

/**
 * A directory as a key: `/` becomes NUL, which no name contains and which sorts first. So the keys of a directory and
 * of all that is below it are one range, `[key, key + 0x01)`.
 */
export function directoryKey(directory: string): Buffer {
  return Buffer.from(directory.replaceAll('/', '\0'), 'latin1');
}

/** The first directory key behind all that lie below `directory`; no name has more than 255 bytes. */
export function rangeEnd(directory: string): Buffer {
  return directory === '' ? Buffer.alloc(256, 0xff) : directoryKey(`${directory}\u0001`);
}

/** The two key columns of a path; the root is the nameless entry of itself. */
export function pathKey(path: RelativePath): [Buffer, Buffer] {
  return [directoryKey(parentPath(path) ?? ''), Buffer.from(baseName(path), 'latin1')];
}

/** The path of two key columns. */
export function keyPath(parent: Buffer, name: Buffer): RelativePath {
  const directory = parent.toString('latin1').replaceAll('\0', '/') as RelativePath;
  return name.length === 0 ? directory : joinPath(directory, name.toString('latin1'));
}

/** One record as bytes for the token; every field that a receiver gets has its place in it. */
export function encodeRecord(record: FileRecord): Buffer {
  const path = Buffer.from(record.path, 'latin1');
  const state = record.state;
  const columns = state.kind === 'deleted' ? null : encodeState(state);
  const content = columns?.[6] ?? empty;
  const bytes = Buffer.alloc(4 + path.length + 8 + 8 + 1 + 8 + 8 + 12 + 4 + content.length);
  let at = bytes.writeUInt32BE(path.length, 0);
  at += path.copy(bytes, at);
  at = bytes.writeBigUInt64BE(BigInt(record.sequence), at);
  at = bytes.writeBigUInt64BE(BigInt(record.replaces ?? 0), at);
  at = bytes.writeUInt8(columns?.[0] ?? kindNumber.deleted, at);
  at = bytes.writeBigUInt64BE(BigInt(columns?.[1] ?? 0), at);
  at = bytes.writeBigInt64BE(columns?.[2] ?? 0n, at);
  for (const field of [3, 4, 5] as const) at = bytes.writeUInt32BE(columns?.[field] ?? 0, at);
  at = bytes.writeUInt32BE(content.length, at);
  content.copy(bytes, at);
  return bytes;
}
