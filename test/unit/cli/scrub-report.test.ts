import { expect, it } from 'vitest';
import { formatScrubReport, scrubExitCode } from '../../../receiver/cli/scrub-command.ts';
import type { ScrubReport } from '../../../receiver/scrub/scrub-report.ts';

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
  expect(formatScrubReport({ ...clean, skipped: true }).at(-1)).toBe(
    '3 GiB read, nothing of that is damaged',
  );
});

it('names what is damaged and what nobody stored, and says what was repaired', () => {
  const folders = [
    {
      name: 'folder media of agent AAAAAAA',
      damaged: 3,
      lacksRoom: 'it is full',
      files: ['a.jpg (changed)'],
      found: ['a.jpg (changed)', 'b.jpg (missing)'],
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

it('names what was damaged and is whole again', () => {
  const found = ['the journal (segment 1 is damaged at byte 80)', 'a.jpg (changed)', 'b.jpg (missing)'];
  const folder = { name: 'folder media', damaged: 1, lacksRoom: null, files: ['a.jpg (changed)'], found };
  const folders = [{ ...folder, extras: [] }];
  expect(formatScrubReport({ ...clean, found: 3, repaired: 2, damaged: 1, folders })).toEqual([
    'folder media: 1 damaged',
    '  a.jpg (changed)',
    'folder media: was damaged and is no more',
    '  the journal (segment 1 is damaged at byte 80)',
    '  b.jpg (missing)',
    '3 GiB read, 1 damaged; found 3, repaired 2',
  ]);
});

it('ends with 1 where something is damaged, or could not be read', () => {
  expect(scrubExitCode(clean)).toBe(0);
  expect(scrubExitCode({ ...clean, found: 2, repaired: 2 } as ScrubReport)).toBe(0);
  expect(scrubExitCode({ ...clean, damaged: 1 })).toBe(1);
  expect(scrubExitCode({ ...clean, skipped: true })).toBe(1);
});
