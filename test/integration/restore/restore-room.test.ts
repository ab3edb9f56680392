import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RelativePath } from '../../../shared/records/relative-path.ts';
import { MemoryHistory, readTree } from '../../support/memory-history.ts';
import { canMount, mountTmpfs } from '../../support/mounted.ts';
import { createBenchReceiver, restoreFrom } from '../../support/restore-bench.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { compareTrees, formatDifferences } from '../../support/tree-compare.ts';

const kib = 1024;
const mib = 1024 * kib;
let bench: string;
let source: string;
let to: string;
let history: MemoryHistory;

beforeEach(() => {
  bench = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-restore-room-'));
  source = path.join(bench, 'source');
  to = path.join(bench, 'to');
  for (const directory of [source, to]) fs.mkdirSync(directory);
  history = new MemoryHistory('media');
});
afterEach(() => fs.rmSync(bench, { recursive: true, force: true }));

const write = (name: string, bytes: number): void => {
  fs.writeFileSync(path.join(source, name), seededBytes(name, bytes));
};
const differences = () => compareTrees(source, path.join(to, 'media')).differences;

describe.runIf(canMount)('on a small disk', () => {
  it('goes on where there is room for what is missing, though not for all of it once more', async () => {
    using _disk = mountTmpfs('small', to, ['size=10m']);
    write('large', 8 * mib);
    history.putTree(1, source);
    let received = 0;
    const broken = createBenchReceiver([history], {
      onMessage: (message, direction) => {
        if (direction === 'second-to-first') received += message.length;
        return received > 6 * mib ? null : message;
      },
    });
    await expect(restoreFrom(broken, { to, patienceMs: 100 })).rejects.toMatchObject({
      code: 'LINK_TIMEOUT',
    });
    const { bavail, bsize } = fs.statfsSync(to);
    expect(bavail * bsize).toBeLessThan(8 * mib);
    await restoreFrom(createBenchReceiver([history]), { to });
    expect(formatDifferences(differences())).toBe('');
  });

  it('ends when the disk fills up in the middle, with whole files under their names, and goes on when there is room', async () => {
    using _disk = mountTmpfs('small', to, ['size=8m']);
    for (let at = 0; at < 100; at += 1) write(`file-${at}`, 40 * kib);
    write('large', 2 * mib);
    history.putTree(1, source);
    const filler = path.join(to, 'filler');
    let received = 0;
    const receiver = createBenchReceiver([history], {
      onMessage: (message) => {
        received += message.length;
        if (received > mib && !fs.existsSync(filler)) fillDisk(filler);
        return message;
      },
    });
    await expect(restoreFrom(receiver, { to })).rejects.toMatchObject({
      code: 'TARGET_FULL',
      hint: expect.stringContaining('run the same command again') as string,
    });
    const wrong = differences().filter(
      ({ path: name, problem }) => !problem.startsWith('missing') && !name.startsWith('.mastokeep-restore.'),
    );
    expect(wrong.filter(({ path: name }) => name !== '')).toEqual([]);
    fs.rmSync(filler);
    await restoreFrom(createBenchReceiver([history]), { to });
    expect(formatDifferences(differences())).toBe('');
  });

  it.each([
    ['size=2m', '3.91 MiB are to be restored'],
    ['nr_inodes=20', /^51 files are to be restored, and the file system of .* has room for \d+ more$/],
  ])('asks for room before anything is fetched: %s', async (limit, message) => {
    using _disk = mountTmpfs('small', to, [limit]);
    for (let at = 0; at < 50; at += 1) write(`file-${at}`, 80 * kib);
    history.putTree(1, source);
    await expect(restoreFrom(createBenchReceiver([history]), { to })).rejects.toMatchObject({
      code: 'TARGET_FULL',
      message:
        typeof message === 'string'
          ? (expect.stringContaining(message) as string)
          : (expect.stringMatching(message) as string),
    });
    expect(fs.readdirSync(to)).toEqual([]);
  });
});

it('restores into a directory where the whole path is longer than PATH_MAX, and finds what is there', async () => {
  const contents = new Map<string, Buffer>();
  write('deep', 5 * kib);
  const file = readTree(source, contents).find(({ path: name }) => name === 'deep');
  if (file === undefined) throw new Error('no file was read');
  const segment = 'x'.repeat(250);
  const directory = Array.from({ length: 11 }, () => segment).join('/');
  for (const [key, content] of contents) history.contents.set(key, content);
  history.put(1, [{ path: `${directory}/deep` as RelativePath, state: file.state }]);
  const place = path.join(to, ...Array.from({ length: 8 }, () => segment));
  const first = await restoreFrom(createBenchReceiver([history]), { to: place });
  expect(first.folders).toMatchObject([{ files: 1, skipped: 0, failed: [] }]);
  const second = await restoreFrom(createBenchReceiver([history]), { to: place });
  expect(second.folders).toMatchObject([{ files: 0, skipped: 1, failed: [] }]);
  expect(readDeep(path.join(place, 'media'), `${directory}/deep`)).toEqual(seededBytes('deep', 5 * kib));
});

function fillDisk(file: string): void {
  const fd = fs.openSync(file, 'w');
  try {
    for (;;) fs.writeSync(fd, Buffer.alloc(64 * kib));
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  } finally {
    fs.closeSync(fd);
  }
}

/** Directory by directory, because no call takes a path as long as that. */
function readDeep(root: string, name: string): Buffer {
  let fd = fs.openSync(root, 'r');
  for (const segment of name.split('/')) {
    const next = fs.openSync(`/proc/self/fd/${fd}/${segment}`, 'r');
    fs.closeSync(fd);
    fd = next;
  }
  const content = fs.readFileSync(fd);
  fs.closeSync(fd);
  return content;
}
