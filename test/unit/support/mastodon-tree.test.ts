import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MastodonTree, partition, snowflake } from '../../support/mastodon-tree.ts';
import { compareTrees, listFiles } from '../../support/tree-compare.ts';

const options = { seed: 'tree', files: 600, cacheFiles: 20, newestAt: Date.parse('2026-03-04T05:06:07Z') };
let directory: string;

beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-tree-'));
});

afterAll(() => {
  fs.rmSync(directory, { recursive: true });
});

it('pads and cuts ids as paperclip does', () => {
  expect(partition(1234n)).toBe('000/001/234');
  expect(partition(109_348_684_562_071_552n)).toBe('109/348/684/562/071/552');
  expect(partition(snowflake(Date.parse('2022-11-15T17:00:00Z'), 0))).toMatch(/^109(\/\d{3}){5}$/);
});

it('makes the same tree from the same seed and another one from another', () => {
  const one = MastodonTree.make(path.join(directory, 'one'), options);
  const same = MastodonTree.make(path.join(directory, 'same'), options);
  const other = MastodonTree.make(path.join(directory, 'other'), { ...options, seed: 'another' });
  expect(compareTrees(one.root, same.root).differences).toEqual([]);
  expect(compareTrees(one.root, other.root).differences.length).toBeGreaterThan(500);
});

it('has the paths, the numbers and the many directories of a real media tree', () => {
  const tree = MastodonTree.make(path.join(directory, 'shape'), options);
  const files = listFiles(tree.root).map((file) => file.path);
  const attachments = files.filter((file) => file.startsWith('media_attachments/'));
  expect(files.filter((file) => !file.startsWith('cache/')).length).toBe(tree.files);
  expect(Math.abs(tree.files - options.files)).toBeLessThan(5);
  expect(files.filter((file) => file.startsWith('cache/')).length).toBe(20);
  for (const file of attachments) {
    expect(file).toMatch(/^media_attachments\/files(\/\d{3}){6}\/(original|small)\/[0-9a-f]{16}\.[a-z0-9]+$/);
  }
  const directories = new Set(attachments.flatMap((file) => parents(file)));
  const perAttachment = directories.size / tree.attachments.length;
  expect(perAttachment).toBeGreaterThan(3);
  expect(perAttachment).toBeLessThan(6);
});

it('puts new uploads under the newest prefix and prunes empty directories of deleted ones', () => {
  const tree = MastodonTree.make(path.join(directory, 'changes'), options);
  const newest = tree.attachments.at(-1);
  const upload = tree.addUpload({ bytes: 500, extension: 'jpg' });
  expect(upload.id > (newest?.id ?? 0n)).toBe(true);
  expect(upload.directory.split('/').slice(0, 4)).toEqual(newest?.directory.split('/').slice(0, 4));
  const before = listFiles(tree.root).length;
  tree.deleteAttachment(upload);
  expect(listFiles(tree.root).length).toBe(before - 2);
  expect(fs.existsSync(path.join(tree.root, upload.directory))).toBe(false);
  expect(tree.attachments).not.toContain(upload);
});

it('keeps count of files over every kind of change', () => {
  const tree = MastodonTree.make(path.join(directory, 'count'), { ...options, cacheFiles: 0 });
  const [first, second, third] = tree.attachments;
  const avatar = tree.avatars[1];
  if (!first || !second || !third || !avatar) throw new Error('too small a tree');
  tree.deleteAttachment(first);
  const moved = tree.moveAttachment(second);
  tree.rewriteOriginal(third);
  const { removed, added } = tree.replaceAvatar(avatar);
  tree.addUpload();
  expect(listFiles(tree.root).length).toBe(tree.files);
  expect(fs.existsSync(path.join(tree.root, moved.files[0] ?? ''))).toBe(true);
  expect(fs.existsSync(path.join(tree.root, removed))).toBe(false);
  expect(fs.existsSync(path.join(tree.root, added))).toBe(true);
});

function parents(file: string): string[] {
  const found: string[] = [];
  for (let at = path.dirname(file); at !== 'media_attachments/files'; at = path.dirname(at)) found.push(at);
  return found;
}
