import fs from 'node:fs';
import { promisify } from 'node:util';
import { diskError, type Disk, type DiskPath, type DiskStat } from './disk.ts';

const fdatasync = promisify(fs.fdatasync);
const fsync = promisify(fs.fsync);
const read = promisify(fs.read);

const { O_RDONLY, O_RDWR, O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY, O_NONBLOCK } =
  fs.constants;

const openFlags = {
  read: O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
  append: O_WRONLY | O_APPEND | O_NOFOLLOW,
  create: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
  update: O_RDWR | O_NOFOLLOW,
} as const;

/** The real disk. Files are made with mode 0640, directories with 0750, less the umask. */
export const nodeDisk: Disk = {
  open: (path, how) => attempt('open', path, () => fs.openSync(systemPath(path), openFlags[how], 0o640)),
  close: (fd) => attempt('close', '', () => fs.closeSync(fd)),
  read: (fd, target, position) =>
    attempt('read', '', () => fs.readSync(fd, target, 0, target.byteLength, position)),
  async readLater(fd, target, position) {
    try {
      return (await read(fd, target, 0, target.byteLength, position)).bytesRead;
    } catch (error) {
      throw diskError(error, 'read', '');
    }
  },
  write(fd, bytes, position) {
    attempt('write', '', () => {
      let written = 0;
      while (written < bytes.byteLength) {
        const at = position === null ? null : position + written;
        written += fs.writeSync(fd, bytes, written, bytes.byteLength - written, at);
      }
    });
  },
  truncate: (fd, size) => attempt('truncate', '', () => fs.ftruncateSync(fd, size)),
  setModified: (fd, mtimeNs) =>
    attempt('futimes', '', () => {
      const seconds = Number(mtimeNs) / 1e9;
      fs.futimesSync(fd, seconds, seconds);
    }),
  async syncData(fd) {
    try {
      await fdatasync(fd);
    } catch (error) {
      throw diskError(error, 'fdatasync', '');
    }
  },
  async syncDirectory(path) {
    const fd = attempt('open', path, () =>
      fs.openSync(systemPath(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
    );
    try {
      await fsync(fd);
    } catch (error) {
      throw diskError(error, 'fsync', path);
    } finally {
      fs.closeSync(fd);
    }
  },
  link: (existing, created) =>
    attempt('link', created, () => fs.linkSync(systemPath(existing), systemPath(created))),
  rename: (from, to) => attempt('rename', to, () => fs.renameSync(systemPath(from), systemPath(to))),
  unlink: (path) => attempt('unlink', path, () => fs.unlinkSync(systemPath(path))),
  mkdir: (path) =>
    attempt('mkdir', path, () => fs.mkdirSync(systemPath(path), { mode: 0o750, recursive: false })),
  rmdir: (path) => attempt('rmdir', path, () => fs.rmdirSync(systemPath(path))),
  list: (path) =>
    attempt('readdir', path, () =>
      fs
        .readdirSync(systemPath(path), { encoding: 'buffer' })
        .map((name) => name.toString('latin1'))
        .sort(),
    ),
  stat: statPath,
  space: (path) =>
    attempt('statfs', path, () => {
      const { bsize, blocks, bavail } = fs.statfsSync(systemPath(path));
      return { totalBytes: bsize * blocks, freeBytes: bsize * bavail };
    }),
};

function statPath(path: DiskPath): DiskStat | null {
  const stats = attempt('lstat', path, () => {
    try {
      return fs.lstatSync(systemPath(path), { bigint: true, throwIfNoEntry: false });
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOTDIR') return undefined;
      throw error;
    }
  });
  if (stats === undefined) return null;
  return {
    kind: stats.isFile()
      ? 'file'
      : stats.isDirectory()
        ? 'directory'
        : stats.isSymbolicLink()
          ? 'symlink'
          : 'other',
    size: Number(stats.size),
    mtimeNs: stats.mtimeNs,
    ctimeNs: stats.ctimeNs,
    identity: `${stats.dev}:${stats.ino}`,
  };
}

function attempt<T>(call: string, path: DiskPath, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw diskError(error, call, path);
  }
}

/** Bytes for the kernel; a plain string where it is ASCII, which Node passes on faster. */
function systemPath(path: DiskPath): string | Buffer {
  return isAscii(path) ? path : Buffer.from(path, 'latin1');
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}
