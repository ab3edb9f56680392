import { CodedError, systemErrorCode } from '../errors/coded-error.ts';

/** An absolute path as a byte string (latin1, one character a byte), like `RelativePath`. */
export type DiskPath = string;

/** What `lstat` tells, as far as a store needs it. */
export type DiskStat = {
  kind: 'file' | 'directory' | 'symlink' | 'other';
  size: number;
  mtimeNs: bigint;
  /** When a name was last given to it, or its content, mode or owner changed; no program can set it. */
  ctimeNs: bigint;
  /** Device and inode: equal for two names of one file. */
  identity: string;
};

/**
 * Every write of a store that must last goes through this, so that tests can make the Nth one fail or record them all.
 * Calls are synchronous where that is fastest (metadata, small writes); syncs are not, so that many share a commit of
 * the file system. Links are never followed at the last component. Errors are CodedError: STORE_FULL, DISK_FAILED.
 */
export type Disk = {
  /** `create` makes a new file (mode 0640) and fails where the name exists. */
  open: (path: DiskPath, how: 'read' | 'append' | 'create' | 'update') => number;
  close: (fd: number) => void;
  /** Bytes read, 0 at the end of the file. */
  read: (fd: number, target: Uint8Array, position: number) => number;
  /** The same, without keeping others from their work while the disk turns. */
  readLater: (fd: number, target: Uint8Array, position: number) => Promise<number>;
  /** Writes all the bytes; `position` null appends. */
  write: (fd: number, bytes: Uint8Array, position: number | null) => void;
  truncate: (fd: number, size: number) => void;
  setModified: (fd: number, mtimeNs: bigint) => void;
  /** Resolves when the file's content and size are on disk (fdatasync). */
  syncData: (fd: number) => Promise<void>;
  /** Resolves when the directory's entries are on disk. */
  syncDirectory: (path: DiskPath) => Promise<void>;
  link: (existing: DiskPath, created: DiskPath) => void;
  rename: (from: DiskPath, to: DiskPath) => void;
  unlink: (path: DiskPath) => void;
  /** Mode 0750. */
  mkdir: (path: DiskPath) => void;
  rmdir: (path: DiskPath) => void;
  /** Names (byte strings) in the directory, sorted by bytes. */
  list: (path: DiskPath) => string[];
  /** Null where there is nothing (or no directory on the way). Does not follow a link. */
  stat: (path: DiskPath) => DiskStat | null;
  space(path: DiskPath): { totalBytes: number; freeBytes: number };
};

/** The byte string of a path that people typed or a configuration holds (UTF-8 text). */
export function diskPath(text: string): DiskPath {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** The CodedError for a failed file-system call; the system's own code is in `context.systemCode`. */
export function diskError(error: unknown, call: string, path: DiskPath): CodedError {
  if (error instanceof CodedError) return error;
  const systemCode = systemErrorCode(error);
  const shown = Buffer.from(path, 'latin1').toString('utf8');
  const options = { context: { systemCode, call, path: shown }, cause: error };
  if (systemCode === 'ENOSPC' || systemCode === 'EDQUOT') {
    return new CodedError('STORE_FULL', `no space left on the disk: ${call} ${shown} (${systemCode})`, {
      ...options,
      hint: 'free some space or move the data directory to a larger disk',
    });
  }
  return new CodedError('DISK_FAILED', `the disk refused ${call} ${shown} (${systemCode ?? 'unknown'})`, {
    ...options,
    hint: 'look at the kernel log and check the disk',
  });
}

/** The system's code (`EEXIST`, …) behind an error of a Disk, or null. */
export function diskErrorCode(error: unknown): string | null {
  if (!(error instanceof CodedError)) return systemErrorCode(error);
  const code = error.context['systemCode'];
  return typeof code === 'string' ? code : null;
}
