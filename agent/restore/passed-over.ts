import { isCoded, type CodedError } from '../../shared/errors/coded-error.ts';
import type { ErrorCode } from '../../shared/errors/error-table.ts';
import type { RestoreResult } from './run-restore.ts';

type FolderResult = RestoreResult['folders'][number];

/** Its key is not there, nothing is held of that time, what is held is damaged, or something is in its place already. */
const folderCodes: readonly ErrorCode[] = [
  'KEY_WRONG',
  'KEY_INVALID',
  'RESTORE_NOTHING_FOUND',
  'CONTENT_GONE',
  'PACK_CORRUPT',
  'MANIFEST_INVALID',
  'CONTENT_MISMATCH',
  'RESTORE_CONFLICT',
];

/**
 * Whether an error keeps one sealed folder from being restored and says nothing about the others: who restores
 * everything gets those. A record that is not what it claims ends the whole restore, as does what happens to the link or the disk.
 */
export function concernsFolderOnly(error: unknown): error is CodedError {
  return folderCodes.some((code) => isCoded(error, code));
}

/** The result of a folder of which nothing was restored. */
export function failedFolder(id: string, target: string, { code, message, hint }: CodedError): FolderResult {
  const failed = [{ path: '', code, message: hint === null ? message : `${message}; ${hint}` }];
  return { id, target, files: 0, bytes: 0, skipped: 0, failed };
}
