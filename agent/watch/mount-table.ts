/** A mount as `/proc/self/mountinfo` lists it; `source` is a device, a server's export, or any text. */
export type Mount = { id: number; mountPoint: string; type: string; source: string };

/**
 * Parses `/proc/self/mountinfo`; lines that make no sense are left out.
 * @see proc_pid_mountinfo(5)
 */
export function parseMountTable(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [left, right] = line.split(' - ', 2);
    const [id, , , , mountPoint] = left?.split(' ') ?? [];
    const [type, source] = right?.split(' ') ?? [];
    if (mountPoint === undefined || type === undefined || source === undefined) return [];
    return [{ id: Number(id), mountPoint: unescapeField(mountPoint), type, source: unescapeField(source) }];
  });
}

/** Mounts strictly below the path, each point once with what was mounted last. */
export function mountsBelow(path: string, mounts: readonly Mount[]): Mount[] {
  const byPoint = new Map<string, Mount>();
  for (const mount of mounts) {
    if (mount.mountPoint !== path && contains(path, mount.mountPoint)) byPoint.set(mount.mountPoint, mount);
  }
  return [...byPoint.values()];
}

const networkTypes = new Set([
  'nfs',
  'nfs4',
  'cifs',
  'smb3',
  'smbfs',
  '9p',
  'afs',
  'ceph',
  'ncpfs',
  'lustre',
]);

/** File systems whose change times and inode numbers may differ from look to look though nothing changed. */
export function isNetworkType(type: string): boolean {
  return networkTypes.has(type) || type === 'fuse' || type.startsWith('fuse.');
}

const timeKeepingTypes = new Set([
  'bcachefs',
  'btrfs',
  'ext2',
  'ext3',
  'ext4',
  'f2fs',
  'jfs',
  'overlay',
  'tmpfs',
  'xfs',
  'zfs',
]);

/**
 * File systems that give a directory a new time with every change of its names, whoever made it: FAT keeps none for its
 * root, and others may have been written by another system.
 */
export function keepsTimes(type: string): boolean {
  return timeKeepingTypes.has(type);
}

function contains(directory: string, path: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`);
}

/** Space, tab, newline and backslash stand as three octal digits. */
function unescapeField(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
