import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';

/** `pack`: chunks. `root`: a root message. `version`, `signature`: a version record and what proves it. */
type SealedObjectKind = 'pack' | 'root' | 'version' | 'signature';

/** A row of `objects`. */
export type SealedObject = {
  id: number;
  kind: SealedObjectKind;
  name: string;
  hash: Buffer;
  bytes: number;
  plain_bytes: number;
  used_bytes: number;
  sequence: number;
  named_sequence: number | null;
  replaces: number | null;
  created_at: number;
  in_spool: 0 | 1;
};

/** An object that is in the spool and becomes known with the commit. `id`: null where nothing refers to it by number. */
export type NewObject = {
  id: number | null;
  kind: SealedObjectKind;
  name: string;
  hash: Buffer;
  bytes: number;
  plainBytes: number;
  chunkList: Buffer | null;
};

export const objectColumns =
  'id, kind, name, hash, bytes, plain_bytes, used_bytes, sequence, named_sequence, replaces, created_at, in_spool FROM objects';

/** How the object is announced. */
export function recordOf(object: SealedObject): FileRecord {
  const { hash, bytes: size, sequence, replaces, created_at: createdAt } = object;
  return {
    path: object.name as RelativePath,
    sequence,
    replaces,
    state: { kind: 'file', size, mtimeNs: BigInt(createdAt) * 1_000_000n, mode: 0o400, uid: 0, gid: 0, hash },
  };
}
