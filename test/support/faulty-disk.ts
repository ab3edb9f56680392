import { diskError, type Disk } from '../../shared/io/disk.ts';

export const faultyCalls = [
  'open',
  'read',
  'write',
  'syncData',
  'syncDirectory',
  'link',
  'rename',
  'unlink',
  'mkdir',
  'rmdir',
  'list',
] as const;

export type Fault = { call: (typeof faultyCalls)[number]; count: number; systemCode: 'EIO' | 'ENOSPC' };

/** The disk, but for the count-th call of one kind, which fails; a failing write has written half of its bytes. */
export function faultyDisk(disk: Disk, fault: Fault): { disk: Disk; hasFailed: () => boolean } {
  let left = fault.count;
  const passes = (call: Fault['call'], path = ''): void => {
    if (call !== fault.call) return;
    left -= 1;
    if (left === 0)
      throw diskError(Object.assign(new Error('fault'), { code: fault.systemCode }), call, path);
  };
  return {
    hasFailed: () => left <= 0,
    disk: {
      ...methodsOf(disk),
      open(path, how) {
        passes('open', path);
        return disk.open(path, how);
      },
      read(fd, target, position) {
        passes('read');
        return disk.read(fd, target, position);
      },
      async readLater(fd, target, position) {
        passes('read');
        return disk.readLater(fd, target, position);
      },
      write(fd, bytes, position) {
        try {
          passes('write');
        } catch (error) {
          disk.write(fd, bytes.subarray(0, bytes.byteLength >> 1), position);
          throw error;
        }
        disk.write(fd, bytes, position);
      },
      async syncData(fd) {
        passes('syncData');
        await disk.syncData(fd);
      },
      async syncDirectory(path) {
        passes('syncDirectory', path);
        await disk.syncDirectory(path);
      },
      link(from, to) {
        passes('link', to);
        disk.link(from, to);
      },
      rename(from, to) {
        passes('rename', to);
        disk.rename(from, to);
      },
      unlink(path) {
        passes('unlink', path);
        disk.unlink(path);
      },
      mkdir(path) {
        passes('mkdir', path);
        disk.mkdir(path);
      },
      rmdir(path) {
        passes('rmdir', path);
        disk.rmdir(path);
      },
      list(path) {
        passes('list', path);
        return disk.list(path);
      },
    },
  };
}

/** The disk until it dies: after so many more calls that change something every call that does fails, until it revives. */
export function dyingDisk(disk: Disk): { disk: Disk; dieAfter(calls: number): void; revive(): void } {
  let left = Number.POSITIVE_INFINITY;
  const live = <A extends unknown[], R>(call: string, action: (...args: A) => R): ((...args: A) => R) => {
    return (...args) => {
      left -= 1;
      if (left < 0) throw diskError(Object.assign(new Error('dead'), { code: 'EIO' }), call, '');
      return action(...args);
    };
  };
  const whole = methodsOf(disk);
  return {
    disk: {
      ...whole,
      write: live('write', whole.write),
      syncData: async (fd) => live('syncData', whole.syncData)(fd),
      syncDirectory: async (path) => live('syncDirectory', whole.syncDirectory)(path),
      link: live('link', whole.link),
      rename: live('rename', whole.rename),
      unlink: live('unlink', whole.unlink),
      mkdir: live('mkdir', whole.mkdir),
      rmdir: live('rmdir', whole.rmdir),
    },
    dieAfter: (calls) => {
      left = calls;
    },
    revive: () => {
      left = Number.POSITIVE_INFINITY;
    },
  };
}

function methodsOf(disk: Disk): Disk {
  return {
    open: (path, how) => disk.open(path, how),
    close: (fd) => disk.close(fd),
    read: (fd, target, position) => disk.read(fd, target, position),
    readLater: async (fd, target, position) => disk.readLater(fd, target, position),
    write: (fd, bytes, position) => disk.write(fd, bytes, position),
    truncate: (fd, size) => disk.truncate(fd, size),
    setModified: (fd, mtimeNs) => disk.setModified(fd, mtimeNs),
    syncData: (fd) => disk.syncData(fd),
    syncDirectory: (path) => disk.syncDirectory(path),
    link: (from, to) => disk.link(from, to),
    rename: (from, to) => disk.rename(from, to),
    unlink: (path) => disk.unlink(path),
    mkdir: (path) => disk.mkdir(path),
    rmdir: (path) => disk.rmdir(path),
    list: (path) => disk.list(path),
    stat: (path) => disk.stat(path),
    space: (path) => disk.space(path),
  };
}
