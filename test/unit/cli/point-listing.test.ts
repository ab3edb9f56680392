import { expect, it } from 'vitest';
import { formatPoints, type PointListing } from '../../../shared/cli/point-listing.ts';
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
    { id: 'media', state: 'incomplete', bytes: null, lacking: ['a', 'b'], from: 1, to: 9 },
    { id: 'database', state: 'complete', bytes: 2048, lacking: [], version: 7 },
  ],
};

it('shows of each point when it was made and when it was received, its state, folders and pin', () => {
  const [head = '', row = ''] = formatPoints([point]).split('\n');
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
});

it('says that there is none', () => {
  expect(formatPoints([])).toBe('no restore point is held yet\n');
});
