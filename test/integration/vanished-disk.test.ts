import fs from 'node:fs';
import path from 'node:path';
import { it } from 'vitest';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { canMount, mountBind } from '../support/mounted.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { until } from '../support/until.ts';
import { Workbench } from '../support/workbench.ts';

/**
 * The invariant: while the disk with the copies is away, nothing is acknowledged and nothing is written in its place;
 * when it is back, everything goes on without a restart and nothing that was acknowledged is missing.
 */
const asStored = { modes: false, times: false, links: false, emptyDirectories: false };

type Disk = { takeAway(): void; bringBack(): void; remove(): void };

/** The data directory is renamed away; the mount point is left, empty. */
function renamed(bench: Workbench): Disk {
  const away = `${bench.data}.away`;
  return {
    takeAway: () => {
      fs.renameSync(bench.data, away);
      fs.mkdirSync(bench.data);
    },
    bringBack: () => {
      fs.rmdirSync(bench.data);
      fs.renameSync(away, bench.data);
    },
    remove: () => {},
  };
}

/** The data directory is a mount that goes although it is in use. */
function detached(bench: Workbench): Disk {
  const disk = path.join(bench.directory, 'disk');
  fs.renameSync(bench.data, disk);
  fs.mkdirSync(bench.data);
  let mounted = mountBind(disk, bench.data);
  return {
    takeAway: () => mounted.detach(),
    bringBack: () => void (mounted = mountBind(disk, bench.data)),
    remove: () => mounted.detach(),
  };
}

const ways = [
  { name: 'is renamed away', make: renamed, possible: true },
  { name: 'is unmounted in use', make: detached, possible: canMount },
];

const possible = ways.filter((way) => way.possible);

it.concurrent.for(possible)('a disk that $name', async ({ make }, { expect }) => {
  const bench = await Workbench.create('vanished');
  const alarms = async (): Promise<string[]> =>
    (await bench.receiver.status()).alarms.map(({ code }) => code);
  const disk = make(bench);
  try {
    const tree = MastodonTree.make(bench.source, { seed: 'vanished', files: 60 });
    await bench.startPaired();
    await bench.settled();

    disk.takeAway();
    // nothing is sent meanwhile: the receiver notices by itself
    await until('the receiver alarms', async () => (await alarms()).includes('DISK_FAILED'));
    const text = await bench.receiver.must(['status']);
    expect(text).toContain('disk   not there');
    expect(text).toContain('is the disk mounted?');
    tree.addUpload();
    const waited = await bench.agent.run(['wait', '--timeout', '4']);
    expect(waited.code, waited.stderr).toBe(4);
    expect(fs.readdirSync(bench.data)).toEqual([]);

    disk.bringBack();
    await bench.settled();
    await until('the alarms are over', async () => (await alarms()).length === 0);
    expect(formatDifferences(compareTrees(bench.source, bench.current, asStored).differences)).toBe('');
    expect(bench.receiver.isRunning).toBe(true);
  } finally {
    disk.remove();
    await bench.dispose();
  }
});
