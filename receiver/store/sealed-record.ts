import { CodedError } from '../../shared/errors/coded-error.ts';
import type { FileRecord, FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { parseSealedObjectName, type SealedObjectName } from '../../shared/sealing/object-name.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';

/** A record of a sealed folder that follows the rules: one of its objects, or a deletion (which is ignored). */
export type SealedRecord = {
  record: FileRecord;
  name: SealedObjectName;
  /** Null for a deletion. */
  state: FileState | null;
};

/** An ECDSA P-256 signature in DER takes 72 bytes at most. */
const signatureBytesMax = 256;

const bytesMax = {
  pack: sealedLimits.packBytesMax,
  version: sealedLimits.versionRecordBytesMax,
  signature: signatureBytesMax,
} as const;

/** @throws CodedError PROTOCOL_VIOLATION: what no sealed folder has */
export function readSealedRecord(record: FileRecord): SealedRecord {
  const { path, state } = record;
  const name = parseSealedObjectName(path);
  if (name === null) throw violation('a sealed folder announces something that is none of its objects', path);
  if (state.kind === 'deleted') return { record, name, state: null };
  if (state.kind !== 'file') throw violation(`a sealed folder announces a ${state.kind}`, path);
  if (state.size === 0 || state.size > bytesMax[name.kind]) {
    throw violation(`a ${name.kind} of a sealed folder is announced with ${state.size} bytes`, path);
  }
  if (name.kind === 'pack' && !name.hash.equals(state.hash)) {
    throw violation('a pack is announced with another hash than its name', path);
  }
  return { record, name, state };
}

function violation(what: string, path: RelativePath): CodedError {
  return new CodedError('PROTOCOL_VIOLATION', what, { context: { path } });
}
