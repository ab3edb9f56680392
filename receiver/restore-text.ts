import fs from 'node:fs';
import path from 'node:path';
import { CodedError, systemErrorCode } from '../shared/errors/coded-error.ts';
import { writeFileAtomic } from '../shared/io/atomic-file.ts';
import { restoreByHandText } from '../shared/sealing/restore-by-hand.ts';

/**
 * Keeps `RESTORE.txt` in the data directory: how to restore from the plain files without this program.
 * @throws CodedError DISK_FAILED
 */
export function writeRestoreText(data: string): void {
  const file = path.join(data, 'RESTORE.txt');
  try {
    if (fs.existsSync(file) && fs.readFileSync(file, 'utf8') === restoreByHandText) return;
    writeFileAtomic(file, restoreByHandText, 0o644);
  } catch (error) {
    throw new CodedError(
      'DISK_FAILED',
      `${file} cannot be written: ${systemErrorCode(error) ?? String(error)}`,
      {
        hint: 'is the disk mounted? its directory is named in receiver.yaml as data',
        cause: error,
      },
    );
  }
}
