import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeOddFiles } from '../../support/odd-files.ts';
import { compareTrees, formatDifferences } from '../../support/tree-compare.ts';

let directory: string;
let expected: string;
let actual: string;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-compare-'));
  [expected, actual] = [path.join(directory, 'expected'), path.join(directory, 'actual')];
  makeOddFiles(expected);
  fs.writeFileSync(path.join(expected, 'photo.jpg'), 'x'.repeat(600_000));
  execFileSync('cp', ['-a', expected, actual]);
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true });
});

it('finds equal trees equal, with names, times and links of every kind', () => {
  const comparison = compareTrees(expected, actual);
  expect(comparison.differences).toEqual([]);
  expect(comparison.links).toBe(3);
  expect(comparison.files).toBeGreaterThan(12);
});

it.each<[string, (file: string) => void, RegExp]>([
  ['a byte', (file) => overwrite(file, 500_000), /"photo.jpg": differs from byte 500000/],
  ['a length', (file) => fs.appendFileSync(file, 'y'), /size 600001, expected 600000/],
  ['a mode', (file) => fs.chmodSync(file, 0o640), /mode 100640, expected 100644/],
  [
    'a nanosecond',
    (file) => execFileSync('touch', ['-d', '2020-01-01T00:00:00.000000001Z', file]),
    /mtime 157/,
  ],
  ['a missing file', (file) => fs.unlinkSync(file), /"photo.jpg": missing/],
  ['a file too many', (file) => fs.writeFileSync(`${file}~`, ''), /"photo.jpg~": not expected/],
  ['a kind', (file) => swapForDirectory(file), /file became directory/],
])('finds %s', (_what, change, problem) => {
  change(path.join(actual, 'photo.jpg'));
  const { differences } = compareTrees(expected, actual);
  expect(differences.length).toBeGreaterThan(0);
  expect(formatDifferences(differences)).toMatch(problem);
});

it('finds a link that leads elsewhere and a directory that lost its mode', () => {
  fs.unlinkSync(path.join(actual, 'link'));
  fs.symlinkSync('elsewhere', path.join(actual, 'link'));
  fs.chmodSync(path.join(actual, 'empty directory'), 0o755);
  const text = formatDifferences(compareTrees(expected, actual, { times: false }).differences);
  expect(text).toMatch(/"link": link to elsewhere, expected sparse/);
  expect(text).toMatch(/"empty directory": mode 40755, expected 40750/);
});

it('passes over what it is told to pass over', () => {
  fs.writeFileSync(path.join(actual, 'photo.jpg'), 'other');
  fs.unlinkSync(path.join(actual, 'link'));
  fs.rmdirSync(path.join(actual, 'empty directory'));
  const { differences } = compareTrees(expected, actual, {
    ignore: (path) => path === 'photo.jpg',
    links: false,
    emptyDirectories: false,
  });
  expect(differences).toEqual([]);
});

function overwrite(file: string, offset: number): void {
  const { mtime, atime } = fs.statSync(file);
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, 'Z', offset);
  fs.closeSync(fd);
  fs.utimesSync(file, atime, mtime);
}

function swapForDirectory(file: string): void {
  fs.unlinkSync(file);
  fs.mkdirSync(file);
}
