import type { RelativePath } from './relative-path.ts';

/** A regular file: `hash` is the SHA-256 of its content (32 bytes), `mode` the permission bits (07777). */
export type FileState = {
  kind: 'file';
  size: number;
  mtimeNs: bigint;
  mode: number;
  uid: number;
  gid: number;
  hash: Buffer;
};

/** A symbolic link; `target` are the bytes of its text, at most 4095. It exists on a receiver only in the journal. */
export type SymlinkState = { kind: 'symlink'; target: Buffer; mtimeNs: bigint; uid: number; gid: number };

/**
 * A directory that says more than the files in it: it was empty when scanned, or its mode or owner differ from its
 * parent's. Directories that are merely the way to a file have no record.
 */
export type DirectoryState = { kind: 'directory'; mode: number; uid: number; gid: number };

/** What is at a path. `deleted`: it was announced once and is gone (or, for a directory, needs no record any more). */
export type PathState = FileState | SymlinkState | DirectoryState | { kind: 'deleted' };

/**
 * What is known of one path in a mirror folder.
 * `sequence`: given by the agent, increasing, unique within an indexId. `replaces`: the sequence that the path had
 * before in that indexId, or null.
 */
export type FileRecord = { path: RelativePath; sequence: number; replaces: number | null; state: PathState };

/** True when both states have the same content, so that nothing has to be sent and no version is made. */
export function sameContent(a: PathState, b: PathState): boolean {
  if (a.kind === 'file' && b.kind === 'file') return a.size === b.size && a.hash.equals(b.hash);
  if (a.kind === 'symlink' && b.kind === 'symlink') return a.target.equals(b.target);
  return a.kind === b.kind;
}
