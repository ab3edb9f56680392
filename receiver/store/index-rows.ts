import { encodeRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';
import { corrupt } from './index-errors.ts';
import type { Holding, LiveState, Replaced } from './journal-entry.ts';

export type LiveRow = { path: RelativePath; holding: Holding; namedIn: Buffer };
export type VersionRow = { path: RelativePath; replaced: Replaced; replacedAt: number };

const kinds = ['file', 'symlink', 'directory'] as const;
/** The column `kind` of a directory. */
export const directoryKind = kinds.indexOf('directory');

/** A row of either table, integers as BigInt. */
export type RawRow = {
  path: Buffer;
  kind: bigint;
  size: bigint | null;
  mtime_ns: bigint | null;
  mode: bigint | null;
  uid: bigint | null;
  gid: bigint | null;
  hash: Buffer | null;
  target: Buffer | null;
  index_id: Buffer;
  sequence: bigint;
  replaces: bigint | null;
  received_at: bigint;
  begun: bigint;
  named_in?: Buffer;
  id?: bigint;
  name?: Buffer | null;
  replaced_at?: bigint;
  ended?: bigint;
};

/** The values of the state columns, in their order. */
export function columns({ state, indexId, sequence, replaces, receivedAt, begun }: Holding): unknown[] {
  const announced = [indexId, sequence, replaces, receivedAt, begun];
  const kind = kinds.indexOf(state.kind);
  switch (state.kind) {
    case 'file':
      return [
        kind,
        state.size,
        state.mtimeNs,
        state.mode,
        state.uid,
        state.gid,
        state.hash,
        null,
        ...announced,
      ];
    case 'symlink':
      return [kind, null, state.mtimeNs, null, state.uid, state.gid, null, state.target, ...announced];
    case 'directory':
      return [kind, null, null, state.mode, state.uid, state.gid, null, null, ...announced];
  }
}

export function readLive(row: RawRow): LiveRow {
  return { path: readPath(row), holding: readHolding(row), namedIn: row.named_in ?? Buffer.alloc(8) };
}

export function readVersion(row: RawRow): VersionRow {
  return {
    path: readPath(row),
    replaced: {
      id: Number(row.id),
      name: row.name?.toString('latin1') ?? null,
      holding: readHolding(row),
      ended: row.ended ?? 0n,
    },
    replacedAt: Number(row.replaced_at),
  };
}

function readPath(row: RawRow): RelativePath {
  return row.path.toString('latin1') as RelativePath;
}

function readHolding(row: RawRow): Holding {
  return {
    state: readState(row),
    indexId: row.index_id,
    sequence: Number(row.sequence),
    replaces: row.replaces === null ? null : Number(row.replaces),
    receivedAt: Number(row.received_at),
    begun: row.begun,
  };
}

function readState(row: RawRow): LiveState {
  const owner = { uid: Number(row.uid), gid: Number(row.gid) };
  const mtimeNs = row.mtime_ns ?? 0n;
  const kind = kinds[Number(row.kind)];
  if (kind === undefined) throw corrupt(`it holds a row of kind ${row.kind}`);
  switch (kind) {
    case 'file':
      return {
        kind: 'file',
        size: Number(row.size),
        mtimeNs,
        mode: Number(row.mode),
        ...owner,
        hash: row.hash ?? Buffer.alloc(32),
      };
    case 'symlink':
      return { kind: 'symlink', target: row.target ?? Buffer.alloc(0), mtimeNs, ...owner };
    case 'directory':
      return { kind: 'directory', mode: Number(row.mode), ...owner };
  }
}

/** Root ('') sorts first: "after nothing" must include it. */
export function pathAfter(path: RelativePath | null): Buffer | number {
  return path === null ? -1 : encodeRelativePath(path);
}

/** Byte order. */
export function byPath(a: { path: RelativePath }, b: { path: RelativePath }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}
