import { hash } from 'node:crypto';
import { expect, it } from 'vitest';
import { firstToken, nextToken } from '../../agent/index/position-token.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';

const record: FileRecord = {
  path: 'a' as RelativePath,
  sequence: 2,
  replaces: 1,
  state: {
    kind: 'file',
    size: 1,
    mtimeNs: 5n,
    mode: 0o644,
    uid: 1,
    gid: 2,
    hash: hash('sha256', 'a', 'buffer'),
  },
};
const deleted: FileRecord = { ...record, state: { kind: 'deleted' } };
const start = firstToken(Buffer.alloc(8, 1));

it('begins otherwise in every index', () => {
  expect(firstToken(Buffer.alloc(8, 2))).not.toEqual(start);
});

it.each<[string, Buffer, number, FileRecord[]]>([
  ['what came before', nextToken(start, 1, [deleted]), 2, [record]],
  ['the last sequence', start, 3, [record]],
  ['the number of records', start, 2, [record, record]],
  ['a path', start, 2, [{ ...record, path: 'b' as RelativePath }]],
  ['a sequence', start, 2, [{ ...record, sequence: 1 }]],
  ['what was replaced', start, 2, [{ ...record, replaces: null }]],
  ['a deletion', start, 2, [deleted]],
  [
    'a content',
    start,
    2,
    [{ ...record, state: { ...record.state, hash: hash('sha256', 'b', 'buffer') } as FileRecord['state'] }],
  ],
  ['a mode', start, 2, [{ ...record, state: { ...record.state, mode: 0o600 } as FileRecord['state'] }]],
  ['a time', start, 2, [{ ...record, state: { ...record.state, mtimeNs: 6n } as FileRecord['state'] }]],
])('is another one where %s differs', (_what, previous, through, records) => {
  expect(nextToken(previous, through, records)).not.toEqual(nextToken(start, 2, [record]));
});

it('is the same for the same history', () => {
  expect(nextToken(start, 2, [{ ...record }])).toEqual(nextToken(start, 2, [record]));
});
