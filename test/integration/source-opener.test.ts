import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { openSourceFile, SourceOpener } from '../../agent/index/source-opener.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

let root: string;
let outside: string;
const at = (name: string): string => path.join(root, name);

beforeEach(() => {
  const scratch = temporaryDirectory();
  [root, outside] = [path.join(scratch, 'root'), path.join(scratch, 'outside')];
  for (const directory of [root, outside]) fs.mkdirSync(directory);
});

it('opens sources without following a link anywhere below the root', () => {
  fs.mkdirSync(path.join(outside, 'sub'));
  fs.writeFileSync(path.join(outside, 'sub', 'secret'), 'secret');
  fs.mkdirSync(at('sub'));
  fs.writeFileSync(at('sub/secret'), 'mine');
  const open = (name: string) => openSourceFile(root, parseTypedPath(name));
  const file = open('sub/secret');
  expect(file?.size).toBe(4);
  file?.close();
  fs.rmSync(at('sub'), { recursive: true });
  fs.symlinkSync(path.join(outside, 'sub'), at('sub'));
  fs.symlinkSync(path.join(outside, 'sub', 'secret'), at('link'));
  for (const name of ['sub/secret', 'link', 'missing', 'sub']) expect(open(name)).toBeNull();
  execFileSync('mkfifo', [at('fifo')]);
  expect(open('fifo')).toBeNull();
});

it('opens one source after the other as the tree is then, whatever came into the place of a directory', () => {
  fs.writeFileSync(path.join(outside, 'secret'), 'secret');
  const descriptors = (): number => fs.readdirSync('/proc/self/fd').length;
  const before = descriptors();
  const opener = new SourceOpener(root);
  const sizeOf = (name: string): number | null => {
    const file = opener.open(parseTypedPath(name));
    file?.close();
    return file?.size ?? null;
  };
  fs.mkdirSync(at('a/b/c'), { recursive: true });
  fs.writeFileSync(at('a/b/c/deep'), 'deep');
  fs.writeFileSync(at('a/high'), 'h');
  fs.writeFileSync(at('top'), 'top!!');
  expect(['a/b/c/deep', 'a/high', 'top', 'a/b/c/deep', 'a/b/lacking'].map(sizeOf)).toEqual([
    4,
    1,
    5,
    4,
    null,
  ]);
  fs.renameSync(at('a/b'), at('moved'));
  fs.mkdirSync(at('a/b'));
  fs.writeFileSync(at('a/b/new'), 'n');
  expect(sizeOf('a/b/new')).toBe(1);
  fs.rmSync(at('a/b'), { recursive: true });
  fs.symlinkSync(outside, at('a/b'));
  expect(sizeOf('a/b/secret')).toBeNull();
  opener.release();
  expect(descriptors()).toBe(before);
});
