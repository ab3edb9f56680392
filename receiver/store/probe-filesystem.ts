import fs from 'node:fs';
import path from 'node:path';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { lockDirectory } from '../../shared/io/directory-lock.ts';
import { diskErrorCode, diskPath, type Disk } from '../../shared/io/disk.ts';

/**
 * Finds out whether a mirror store can live in the directory: hard links, synced directories, names of 255 bytes that
 * need not be UTF-8 and differ by case, locks. Leaves nothing behind.
 * @throws CodedError FILESYSTEM_UNSUITABLE with the reason; STORE_FULL, DISK_FAILED
 */
export async function probeFilesystem({ disk }: { disk: Disk }, directory: string): Promise<void> {
  const place = fs.mkdtempSync(path.join(directory, '.mastokeep-probe-'));
  const root = diskPath(place);
  const make = (name: string): void => disk.close(disk.open(`${root}/${name}`, 'create'));
  try {
    await demand(directory, 'files cannot be made or synced in it', async () => {
      const fd = disk.open(`${root}/file`, 'create');
      try {
        disk.write(fd, Buffer.from('mastokeep'), 0);
        await disk.syncData(fd);
      } finally {
        disk.close(fd);
      }
    });
    await demand(directory, 'it has no hard links', () => {
      disk.link(`${root}/file`, `${root}/link`);
      if (disk.stat(`${root}/link`)?.identity !== disk.stat(`${root}/file`)?.identity)
        throw new Error('not one file');
    });
    await demand(directory, 'directories cannot be synced', () => disk.syncDirectory(root));
    await demand(directory, 'names of 255 bytes are too long for it', () => make('n'.repeat(255)));
    await demand(directory, 'names must be UTF-8', () => make('not \xff utf-8'));
    await demand(directory, 'names do not differ by upper and lower case', () => {
      make('case');
      make('CASE');
    });
    await demand(directory, 'it has no locks', () => lockDirectory(place).release());
  } finally {
    fs.rmSync(place, { recursive: true, force: true });
  }
}

async function demand(directory: string, lack: string, test: () => void | Promise<void>): Promise<void> {
  try {
    await test();
  } catch (error) {
    if (['ENOSPC', 'EDQUOT', 'EIO', 'EACCES', 'EROFS'].includes(diskErrorCode(error) ?? '')) throw error;
    throw new CodedError(
      'FILESYSTEM_UNSUITABLE',
      `the file system of ${directory} cannot hold a store: ${lack}`,
      {
        hint: 'use a directory on ext4, XFS, Btrfs or ZFS',
        context: { directory, systemCode: diskErrorCode(error) },
        cause: error,
      },
    );
  }
}
