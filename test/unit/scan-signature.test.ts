import fs, { type BigIntStats } from 'node:fs';
import { expect, it } from 'vitest';
import type { IndexRow } from '../../agent/index/index-row.ts';
import { isKnown, modeOf } from '../../agent/watch/signature.ts';

const stat = fs.statSync(new URL(import.meta.url), { bigint: true });
const row: IndexRow = {
  name: 'a',
  sequence: 1,
  state: {
    kind: 'file',
    size: Number(stat.size),
    mtimeNs: stat.mtimeNs,
    mode: modeOf(stat),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    hash: Buffer.alloc(32),
  },
  ctimeNs: stat.ctimeNs,
  ino: stat.ino,
  dirty: false,
};
const changed = (change: Partial<BigIntStats>): BigIntStats => Object.assign({}, stat, change);

it.each<[string, Partial<BigIntStats>, { local: boolean; network: boolean }]>([
  ['nothing', {}, { local: true, network: true }],
  ['size', { size: stat.size + 1n }, { local: false, network: false }],
  ['mtime', { mtimeNs: stat.mtimeNs + 1n }, { local: false, network: false }],
  ['mode', { mode: stat.mode ^ 0o100n }, { local: false, network: false }],
  ['owner', { uid: stat.uid + 1n }, { local: false, network: false }],
  ['ctime', { ctimeNs: stat.ctimeNs + 1n }, { local: false, network: true }],
  ['inode', { ino: stat.ino + 1n }, { local: false, network: true }],
])('knows a file of which %s changed only where that says nothing', (_, change, known) => {
  expect(isKnown(row, changed(change), false)).toBe(known.local);
  expect(isKnown(row, changed(change), true)).toBe(known.network);
});

it('knows no dirty file', () => {
  expect(isKnown({ ...row, dirty: true }, stat, false)).toBe(false);
});
