import { expect, it } from 'vitest';
import { provePoint, type PartProof, type PointPart } from '../../../receiver/points/folder-evidence.ts';

const part = (id: string): PointPart => ({ id, kind: 'mirror', index: '00000000000000aa', from: 1, to: 2 });
const complete: PartProof = { state: 'complete', bytes: 9 };
const unknown: PartProof = { state: 'unknown', bytes: null };
const lacking = (files: number): PartProof => ({ state: 'incomplete', files, paths: [], bytes: 9 });

it.each<[string, Record<string, PartProof>, number | null]>([
  ['is complete when every part is', { media: complete, database: complete }, 0],
  ['lacks what its parts lack together', { media: lacking(3), database: lacking(1), redis: complete }, 4],
  ['is not proved where one part is not, whatever the others are', { media: unknown, redis: complete }, null],
  [
    'is not proved either when another part lacks files',
    { media: lacking(2), a: unknown, b: lacking(1) },
    null,
  ],
])('a point %s', (_name, proofs, incompleteFiles) => {
  const found = provePoint({ folders: Object.keys(proofs).map(part) }, (folder) => {
    const proof = proofs[folder];
    return proof === undefined ? null : { provePart: () => proof };
  });
  expect(found).toMatchObject({ complete: incompleteFiles === 0, incompleteFiles });
});

it('a point is not proved where nothing is held of a folder that it names', () => {
  const found = provePoint({ folders: [part('media')] }, () => null);
  expect(found).toMatchObject({ complete: false, incompleteFiles: null, parts: [{ proof: unknown }] });
});
