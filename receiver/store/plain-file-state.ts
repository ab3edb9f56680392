import type { Disk } from '../../shared/io/disk.ts';
import type { FileState } from '../../shared/records/file-record.ts';
import { contentHash, openContent } from './readable-content.ts';

/**
 * What the file itself tells of its state: mode and owner are unknown until the agent names the path again. Null where
 * there is none. Reads all of it. @throws CodedError DISK_FAILED
 */
export function plainFileState(disk: Disk, place: string): Extract<FileState, { kind: 'file' }> | null {
  const stat = disk.stat(place);
  const content = openContent(disk, place);
  if (stat === null || content === null) {
    content?.close();
    return null;
  }
  try {
    const { size } = content;
    const hash = contentHash(content);
    return { kind: 'file', size, mtimeNs: stat.mtimeNs, mode: 0o644, uid: 0, gid: 0, hash };
  } finally {
    content.close();
  }
}
