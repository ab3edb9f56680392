import { expect, it } from 'vitest';
import { formatScrubReport } from '../../../receiver/cli/scrub-command.ts';
import type { ScrubReport } from '../../../receiver/receiver-commands.ts';

const clean: ScrubReport = {
  startedAt: '2026-11-21T12:00:00.000Z',
  readBytes: 3 * 2 ** 30,
  found: 0,
  repaired: 0,
  damaged: 0,
  skipped: false,
  folders: [],
};

it('says in a line that everything is whole', () => {
  expect(formatScrubReport(clean)).toEqual(['3 GiB read, nothing is damaged']);
});

it('names what is damaged and what nobody stored, and says what was repaired', () => {
  const folders = [
    {
      name: 'folder media of agent AAAAAAA',
      damaged: 3,
      lacksRoom: 'it is full',
      files: ['a.jpg (changed)'],
      extras: ['x'],
    },
  ];
  expect(formatScrubReport({ ...clean, found: 4, repaired: 1, damaged: 3, skipped: true, folders })).toEqual([
    'folder media of agent AAAAAAA: 3 damaged',
    '  a.jpg (changed)',
    '  and 2 more',
    '  there is no room to make them whole, which is tried again: it is full',
    'folder media of agent AAAAAAA: 1 that nobody stored, left alone',
    '  x',
    'not everything could be read: see "mastokeep-receiver status" and the log',
    '3 GiB read, 3 damaged; found 4, repaired 1',
  ]);
});
