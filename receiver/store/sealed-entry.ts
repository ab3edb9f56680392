import type { FileRecord, FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { packName } from '../../shared/sealing/object-name.ts';
import type { LiveRow } from './index-rows.ts';
import type { BeginEntry, Holding, LiveState, SetEntry } from './journal-entry.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { versionFiles } from './sealed-version-files.ts';

/** That an object is held as it was announced. */
export function setEntry(
  { path, sequence, replaces }: FileRecord,
  state: FileState,
  { position }: BeginEntry,
  receivedAt: number,
): SetEntry {
  const indexId = position?.indexId ?? Buffer.alloc(8);
  const holding = { state, indexId, sequence, replaces, receivedAt, begun: 0n };
  return { type: 'set', path, holding, namedIn: indexId, temp: null, replaced: null };
}

/** With the receipt in place of the time that was announced. */
export function asReceived({ state, receivedAt }: Holding): LiveState {
  return state.kind === 'file' ? { ...state, mtimeNs: BigInt(receivedAt) * 1_000_000n } : state;
}

/** Of a pack's hash, hexadecimal. */
export function packPath(hash: string): RelativePath {
  return packName(hash) as RelativePath;
}

/** Zeros where it is no file. */
export function hashOf(state: LiveState): Buffer {
  return state.kind === 'file' ? state.hash : Buffer.alloc(32);
}

/** Record and signature of a version, as far as they are held. */
export function fileRows(version: { number: number; epoch: string }, index: MirrorIndex): LiveRow[] {
  return versionFiles(version).flatMap((path) => index.live(path) ?? []);
}
