import { expect, it } from 'vitest';
import { isNetworkType, mountsBelow, parseMountTable } from '../../agent/watch/mount-table.ts';
import { mountDifference, type SourceBaseline } from '../../agent/watch/source-guard.ts';

const table = parseMountTable(`25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 25 0:30 / /mnt/auto rw,relatime shared:9 - autofs systemd-1 rw,fd=50,timeout=0
41 40 0:44 / /mnt/auto/media rw,relatime - fuse.sshfs web@files:/srv/media rw,user_id=0
42 25 0:50 / /srv/with\\040space\\011and\\134 rw - nfs4 server:/a\\040b rw,vers=4.2
43 42 0:51 / /srv/with\\040space\\011and\\134/sub rw - tmpfs tmpfs rw

nonsense
`);

it('reads types, sources and escaped names from mountinfo', () => {
  expect(table.map((mount) => [mount.id, mount.mountPoint, mount.type, mount.source])).toEqual([
    [25, '/', 'ext4', '/dev/sda1'],
    [40, '/mnt/auto', 'autofs', 'systemd-1'],
    [41, '/mnt/auto/media', 'fuse.sshfs', 'web@files:/srv/media'],
    [42, '/srv/with space\tand\\', 'nfs4', 'server:/a b'],
    [43, '/srv/with space\tand\\/sub', 'tmpfs', 'tmpfs'],
  ]);
  expect(mountsBelow('/srv/with space\tand\\', table).map((mount) => mount.id)).toEqual([43]);
  expect(mountsBelow('/mnt', table).map((mount) => mount.id)).toEqual([40, 41]);
});

it.each(['nfs', 'nfs4', 'cifs', 'fuse.sshfs', 'fuse.rclone', '9p'])('trusts no inode of %s', (type) => {
  expect(isNetworkType(type)).toBe(true);
});
it.each(['ext4', 'xfs', 'btrfs', 'zfs', 'overlay', 'tmpfs', 'fuseblk'])('trusts the inodes of %s', (type) => {
  expect(isNetworkType(type)).toBe(false);
});

const baseline: SourceBaseline = {
  root: '/srv/media',
  mount: { type: 'fuse.sshfs', source: 'web@files:/srv/media' },
  below: { cache: { type: 'ext4', source: '/dev/sdb1' } },
};

it.each([
  ['the same', {}, null],
  ['an added mount below', { below: { ...baseline.below, new: { type: 'tmpfs', source: 'tmpfs' } } }, null],
  [
    'the disk behind the mount point',
    { mount: { type: 'ext4', source: '/dev/sda1' } },
    '/srv/media was on fuse.sshfs',
  ],
  [
    'another export',
    { mount: { type: 'fuse.sshfs', source: 'web@other:/srv' } },
    'is now on fuse.sshfs web@other:/srv',
  ],
  ['a lost mount below', { below: {} }, '/srv/media/cache was a mount of ext4 /dev/sdb1 and is none now'],
])('compares mounts: %s', (_, change, expected) => {
  const difference = mountDifference(baseline, { ...baseline, ...change });
  if (expected === null) expect(difference).toBeNull();
  else expect(difference).toContain(expected);
});
