import { afterEach, expect, it } from 'vitest';
import {
  lackingDocument,
  lackingLines,
  printLacking,
  type LackingPages,
} from '../../../shared/cli/lacking-listing.ts';
import type { PointListing } from '../../../shared/cli/point-listing.ts';
import { parseRelativePath, parseTypedPath } from '../../../shared/records/relative-path.ts';
import { PointSigner } from '../../support/point-fixture.ts';

const state = 'incomplete' as const;
const part = { state, incompleteFiles: 1, bytes: null, lacking: [], from: 1, to: 9 };
const point: PointListing = {
  id: '20261121-084000-0123abcd',
  agent: new PointSigner().agent,
  at: '2026-11-21T08:40:00.000Z',
  receivedAt: '2026-11-21T11:02:03.456Z',
  complete: false,
  incompleteFiles: null,
  pinned: false,
  pin: null,
  folders: [
    { ...part, id: 'docs' },
    { ...part, id: 'whole', state: 'complete' },
    { ...part, id: 'media' },
    { ...part, id: 'unknown', state: 'unknown' },
    { id: 'database', state, incompleteFiles: 1, bytes: 2048, lacking: [], version: 7 },
  ],
};

const odd = parseRelativePath(Buffer.from('b\n"\\\xff', 'latin1'));
/** Two pages of `media`, with nothing on the first; one of others. */
const pages: LackingPages = async (folder, after) =>
  folder === 'media' && after === null
    ? { paths: [], next: parseTypedPath('a') }
    : { paths: folder === 'media' ? [parseTypedPath('ä'), odd] : [parseTypedPath('x/y')], next: null };

async function textOf(pieces: AsyncIterable<string>): Promise<string> {
  return (await Array.fromAsync(pieces)).join('');
}

const exitCode = process.exitCode;
afterEach(() => {
  process.exitCode = exitCode;
});

it('names what is lacking of all folders of a point, one on each line whatever its name', async () => {
  expect(await textOf(lackingLines(point, pages))).toBe(
    'docs/x/y\nmedia/ä\nmedia/b\\x0a"\\\\\\xff\ndatabase#7\n',
  );
});

it('makes one JSON document of it, with what is not proved', async () => {
  expect(JSON.parse(await textOf(lackingDocument(point, pages)))).toEqual({
    point: point.id,
    agent: point.agent,
    complete: false,
    incompleteFiles: null,
    unproved: ['unknown'],
    lacking: [
      { folder: 'docs', path: 'x/y' },
      { folder: 'media', path: 'ä' },
      { folder: 'media', path: 'b\\x0a"\\\\\\xff' },
      { folder: 'database', version: 7 },
    ],
  });
  expect(JSON.parse(await textOf(lackingDocument({ ...point, folders: [] }, pages)))).toMatchObject({
    unproved: [],
    lacking: [],
  });
});

it('ends with exit code 3 where a folder is not proved, and only there', async () => {
  const unknown = point.folders.filter(({ id }) => id === 'unknown');
  process.exitCode = 0;
  await printLacking({ ...point, folders: [] }, pages, false);
  expect(process.exitCode).toBe(0);
  await printLacking({ ...point, folders: unknown }, pages, false);
  expect(process.exitCode).toBe(3);
});
