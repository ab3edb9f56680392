import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { FolderConfig } from '../../../agent/config.ts';
import { describeOverlaps } from '../../../agent/folder-overlaps.ts';

const mirror = (id: string, directory: string, ignore: string[] = []): FolderConfig => ({
  id,
  kind: 'mirror',
  path: directory,
  ignore,
});
const sealed = (id: string, ...paths: string[]): FolderConfig => ({
  id,
  kind: 'sealed',
  source: { paths, ignore: [] },
  schedule: '40 * * * *',
});

it('says nothing of folders beside each other', () => {
  expect(
    describeOverlaps([mirror('a', '/srv/a'), mirror('ab', '/srv/ab'), sealed('s', '/srv/secret', '/etc')]),
  ).toEqual([]);
});

it.each([
  [mirror('outer', '/srv'), mirror('inner', '/srv/media')],
  [mirror('inner', '/srv/media'), mirror('outer', '/srv')],
])('says once which mirror folder holds another, in either order', (one, other) => {
  expect(describeOverlaps([one, other])).toEqual([
    'folder outer holds /srv/media, which is folder inner: it is kept twice',
  ]);
});

it('says so of the same directory, also by way of a link', () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-overlaps-'));
  onTestFinished(() => fs.rmSync(directory, { recursive: true }));
  const [real, link] = [path.join(directory, 'real'), path.join(directory, 'link')];
  fs.mkdirSync(real);
  fs.symlinkSync('real', link);
  expect(describeOverlaps([mirror('a', real), mirror('b', link)])).toEqual([
    `folder a holds ${link}, which is folder b: it is kept twice`,
  ]);
});

it.each([['/media/'], ['media']])('says nothing where the outer one ignores the inner one: %s', (pattern) => {
  expect(describeOverlaps([mirror('outer', '/srv', [pattern]), mirror('inner', '/srv/media')])).toEqual([]);
  expect(describeOverlaps([mirror('outer', '/srv', [pattern]), sealed('s', '/srv/media/x')])).toEqual([]);
});

it('says what a sealed folder cannot keep secret, because a mirror folder holds it or lies in it', () => {
  expect(
    describeOverlaps([sealed('s', '/srv/.env', '/etc'), mirror('all', '/srv'), mirror('x', '/etc/x')]),
  ).toEqual([
    'folder s seals /srv/.env, but receivers can read it: folder all holds it, unsealed',
    'folder s seals /etc, but receivers can read what is in /etc/x: that is folder x, unsealed',
  ]);
});
