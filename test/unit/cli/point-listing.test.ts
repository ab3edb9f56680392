import { expect, it } from 'vitest';
import { formatPoint, formatPoints, type PointListing } from '../../../shared/cli/point-listing.ts';
import { PointSigner } from '../../support/point-fixture.ts';

const point: PointListing = {
  id: '20261121-084000-0123abcd',
  agent: new PointSigner().agent,
  at: '2026-11-21T08:40:00.000Z',
  receivedAt: '2026-11-21T11:02:03.456Z',
  complete: false,
  incompleteFiles: 2,
  pinned: true,
  pin: { label: 'before the upgrade', by: 'owner' },
  folders: [
    {
      id: 'media',
      state: 'incomplete',
      incompleteFiles: 2,
      bytes: null,
      lacking: ['a', 'b'],
      from: 1,
      to: 9,
    },
    { id: 'database', state: 'complete', incompleteFiles: 0, bytes: 2048, lacking: [], version: 7 },
  ],
};

it('shows of each point when it was made and when it was received, its state, folders and pin', () => {
  const [head = '', row = '', hint] = formatPoints([point], 'points').split('\n');
  expect(head.split(/ {2,}/)).toEqual(['POINT', 'MADE', 'RECEIVED', 'AGENT', 'STATE', 'FOLDERS', 'PIN']);
  expect(row.split(/ {2,}/)).toEqual([
    '20261121-084000-0123abcd',
    '2026-11-21T08:40:00Z',
    '2026-11-21T11:02:03Z',
    point.agent.slice(0, 7),
    'incomplete (2 files)',
    'media database#7 (2 KiB)',
    'before the upgrade',
  ]);
  expect(hint).toBe('what one of them lacks: points POINT');
});

it('tells of one point what it lacks of each folder, and how to see what is not named', () => {
  const [media, database] = point.folders;
  if (media === undefined || database === undefined) throw new Error('no folders');
  const one = {
    ...point,
    folders: [
      { ...media, incompleteFiles: 4213 },
      { ...media, id: 'docs' },
      { ...media, id: 'old', state: 'unknown' as const, incompleteFiles: null, lacking: [] },
      { ...database, state: 'incomplete' as const, incompleteFiles: 1 },
      { ...database, id: 'whole' },
    ],
  };
  expect(formatPoint(one, 'points').split('\n').slice(2)).toEqual([
    'lacking of folder media:',
    '  media/a',
    '  media/b',
    '  and 4211 more: points 20261121-084000-0123abcd --lacking',
    'lacking of folder docs:',
    '  docs/a',
    '  docs/b',
    'folder old is not proved yet',
    'version 7 of folder database is not whole',
    '',
  ]);
  const complete = { ...point, complete: true, incompleteFiles: 0, folders: [] };
  expect(formatPoint(complete, 'points').split('\n')).toHaveLength(3);
  expect(formatPoints([complete], 'points').split('\n')).toHaveLength(3);
});

it('says that there is none', () => {
  expect(formatPoints([], 'points')).toBe('no restore point is held yet\n');
});
