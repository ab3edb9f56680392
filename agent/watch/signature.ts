import type { BigIntStats } from 'node:fs';
import type { IndexRow } from '../index/index-row.ts';

/** True when the index already knows the file as it is. On network file systems only size and mtime are compared. */
export function isKnown(row: IndexRow, stat: BigIntStats, network: boolean): boolean {
  const state = row.state;
  if (state.kind !== 'file' || row.dirty) return false;
  if (BigInt(state.size) !== stat.size || state.mtimeNs !== stat.mtimeNs) return false;
  if (!network && (row.ctimeNs !== stat.ctimeNs || row.ino !== stat.ino)) return false;
  return state.mode === modeOf(stat) && state.uid === Number(stat.uid) && state.gid === Number(stat.gid);
}

/** What must not change between two looks for a file to count as still. */
export function signatureOf(stat: BigIntStats, network: boolean): string {
  const own = `${stat.size}:${stat.mtimeNs}`;
  return network ? own : `${own}:${stat.ctimeNs}:${stat.ino}`;
}

/** The permission bits. */
export function modeOf(stat: BigIntStats): number {
  return Number(stat.mode & 0o7777n);
}
