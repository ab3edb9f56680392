import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { MastodonTree } from '../support/mastodon-tree.ts';

/** A media tree to copy, and what is in it. */
export type MediaInput = { root: string; files: number; directories: number; bytes: number };

export type MediaKind = 'media' | 'tiny';

const shapes = {
  /** 4.0 GB in 31,800 files and about 100,000 directories. */
  media: { files: 31_800, medianBytes: 106 * 1024, bytesMax: 64 * 1024 * 1024 },
  /** 240,000 files of up to 200 bytes in about 700,000 directories. */
  tiny: { files: 240_000, medianBytes: 80, bytesMax: 200 },
} as const;

/** Makes a tree as Mastodon's in a new directory; at scale 1 it is that of docs/performance.md. */
export function makeMediaInput(
  root: string,
  kind: MediaKind,
  { seed, scale }: { seed: number; scale: number },
): MediaInput {
  const { files, ...sizes } = shapes[kind];
  // a fixed time: the ids, and so the directories, follow from it
  const newestAt = Date.UTC(2026, 9, 1);
  MastodonTree.make(root, { seed, files: Math.max(100, Math.ceil(files * scale)), ...sizes, newestAt });
  return { root, ...countTree(root) };
}

/** Has the whole tree in the page cache and nothing on its way to the disk, so that all that are compared begin alike. */
export function warmUp({ root }: Pick<MediaInput, 'root'>): void {
  execFileSync('sh', ['-c', 'find "$1" -type f -exec cat {} + >/dev/null && sync', 'sh', root]);
}

/** Removes a tree and waits until the disk has done so, because the next one would pay for it. */
export function removeTree(directory: string): void {
  execFileSync('sh', ['-c', 'rm -rf "$1" && sync', 'sh', directory]);
}

export function describeInput({ files, directories, bytes }: MediaInput): string {
  const count = (value: number): string => value.toLocaleString('en');
  return `${count(files)} files, ${(bytes / 1e6).toFixed(1)} MB, ${count(directories)} directories`;
}

function countTree(root: string): { files: number; directories: number; bytes: number } {
  const counted = { files: 0, directories: 0, bytes: 0 };
  const waiting = [root];
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    counted.directories += 1;
    for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
      const file = path.join(directory, entry.name);
      if (entry.isDirectory()) waiting.push(file);
      else {
        counted.files += 1;
        counted.bytes += fs.statSync(file).size;
      }
    }
  }
  return counted;
}
