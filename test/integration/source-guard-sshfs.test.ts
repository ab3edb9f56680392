import { spawn, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { FolderBench } from '../support/folder-bench.ts';
import { ReplayedFeed } from '../support/replayed-feed.ts';
import { createTemporaryDirectory } from '../support/source-tree.ts';
import { until } from '../support/until.ts';

const sftpServer = '/usr/lib/openssh/sftp-server';
const possible = process.getuid?.() === 0 && fs.existsSync('/dev/fuse') && fs.existsSync(sftpServer);

/** A real sshfs on `mountPoint`, whose server is a local process that shows `served`; FIFOs stand for the network. */
async function mountSshfs(work: string, served: string, mountPoint: string) {
  for (const name of ['up', 'down']) {
    fs.rmSync(path.join(work, name), { force: true });
    execFileSync('mkfifo', [path.join(work, name)]);
  }
  const server = spawn('sh', ['-c', `exec ${sftpServer} < up > down`], { cwd: work, stdio: 'ignore' });
  const client = spawn(
    'sh',
    ['-c', 'exec sshfs -f -o passive "$0" "$1" > up < down', `:${served}`, mountPoint],
    {
      cwd: work,
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  const exited = new Promise((resolve) => client.once('exit', resolve));
  const isMounted = () => fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${mountPoint} `);
  // The kernel tells nobody when a mount stands.
  await until('sshfs mounts', () => isMounted() || client.exitCode !== null);
  return {
    async kill() {
      client.kill('SIGKILL');
      await exited;
      server.kill('SIGKILL');
    },
    release() {
      if (isMounted()) execFileSync('umount', ['-l', mountPoint]);
      client.kill('SIGKILL');
      server.kill('SIGKILL');
    },
  };
}

it.skipIf(!possible)(
  'stops when an sshfs source breaks or is gone, and goes on after a remount without reading all again',
  async () => {
    using directory = createTemporaryDirectory('sshfs');
    const [served, root] = ['served', 'root'].map((name) => path.join(directory.path, name)) as [
      string,
      string,
    ];
    for (const name of [served, root]) fs.mkdirSync(name);
    fs.mkdirSync(path.join(served, 'sub'));
    for (const name of ['a', 'sub/b']) fs.writeFileSync(path.join(served, name), name);
    const bench = new FolderBench(directory.path, root);
    const paths = () => {
      const replayed = new ReplayedFeed();
      replayed.follow(bench.feed);
      return [...replayed.states.keys()].filter((name) => name !== '' && name !== 'sub').sort();
    };
    let mount = await mountSshfs(directory.path, served, root);
    try {
      expect(bench.scan()).toMatchObject({ files: 2, unreadable: 0 });
      expect(paths()).toEqual(['a', 'sub/b']);

      await mount.kill();
      expect(() => bench.scan()).toThrowError(expect.objectContaining({ code: 'SOURCE_STOPPED' }));
      expect(bench.condition.stateReason).toContain('ENOTCONN');
      mount.release();
      bench.pass(15_000);
      expect(bench.condition.stateReason).toContain('was on fuse.sshfs');
      expect(paths()).toEqual(['a', 'sub/b']);

      fs.writeFileSync(path.join(served, 'c'), 'c');
      // Other bytes under the same size and mtime: whoever reads the file again notices.
      const { atime, mtime } = fs.statSync(path.join(served, 'a'));
      fs.writeFileSync(path.join(served, 'a'), 'b');
      fs.utimesSync(path.join(served, 'a'), atime, mtime);
      const { sequence } = bench.indexer.index;
      const known = bench.indexer.index.get('a' as RelativePath);
      mount = await mountSshfs(directory.path, served, root);
      // sshfs numbers what it shows in the order in which it is asked for.
      fs.statSync(path.join(root, 'sub/b'));
      expect(fs.statSync(path.join(root, 'a'), { bigint: true }).ino).not.toBe(known?.ino);
      bench.pass(15_000);
      expect(bench.condition.state).toBe('idle');
      expect(paths()).toEqual(['a', 'c', 'sub/b']);
      // Only the new file was read and announced, whatever inodes and device the new mount shows.
      expect(bench.indexer.index.sequence).toBe(sequence + 1);
    } finally {
      mount.release();
      bench.close();
    }
  },
);
