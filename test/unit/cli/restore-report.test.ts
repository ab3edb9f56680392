import { expect, it } from 'vitest';
import { describeNextSteps, describeRestore } from '../../../agent/cli/restore-report.ts';
import type { RestoreResult } from '../../../agent/restore/run-restore.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';

type Folder = RestoreResult['folders'][number];

const told = {
  epoch: '00000000000000ab',
  createdAt: '2026-11-21T08:40:00.000Z',
  receivedAt: '2026-11-21T08:42:00.000Z',
  packs: 1,
  sealedBytes: 2048,
};
const chosen = { ...told, number: 7, packsLacking: 0, signer: 'AGENT' as DeviceId, signerVerified: false };
const folder = (id: string, source: string | null, more: Partial<Folder> = {}): Folder => ({
  id,
  target: `/to/${id}`,
  files: 1,
  bytes: 3_000_000,
  skipped: 0,
  failed: [],
  ...(source === null ? {} : { version: { ...chosen, source } }),
  ...more,
});
const result = (folders: Folder[], more: Partial<RestoreResult> = {}): RestoreResult => ({
  folders,
  at: '2026-11-21T09:00:00.000Z',
  point: null,
  agent: null,
  dryRun: false,
  durationMs: 61_000,
  ...more,
});

it('says how many files came and how many were there, one as one', () => {
  expect(describeRestore(result([folder('media', null, { files: 1204, skipped: 1 })]))).toEqual([
    'media: 1,204 files, 2.86 MiB restored to /to/media; 1 was there already',
    'state of 2026-11-21T09:00:00.000Z, in 61 seconds',
  ]);
  expect(describeRestore(result([folder('database', 'postgres')]))).toEqual([
    'database: version 7, made 2026-11-21T08:40:00.000Z, received 2026-11-21T08:42:00.000Z, signer unverified: AGENT',
    'database: 1 file, 2.86 MiB restored to /to/database',
    'state of 2026-11-21T09:00:00.000Z, in 61 seconds',
  ]);
});

it('tells of a restore point when it was made and when it was received', () => {
  const point = {
    id: '20261121-090000-0123abcd',
    receivedAt: '2026-11-21T09:25:00.000Z',
    complete: true,
    incompleteFiles: 0,
  };
  expect(describeRestore(result([], { point }))).toEqual([
    'state of restore point 20261121-090000-0123abcd, made 2026-11-21T09:00:00.000Z, received 2026-11-21T09:25:00.000Z, in 61 seconds',
  ]);
});

it('tells of a dry run without a key the version, its sealed size and the others that are held', () => {
  const versions = [
    { ...told, number: 7, packsLacking: 0 },
    { ...told, number: 6, packsLacking: 1 },
    { ...told, number: 5, packsLacking: 0 },
  ];
  expect(
    describeRestore(result([folder('database', 'postgres', { files: 0, versions })], { dryRun: true })),
  ).toEqual([
    'database: held too: version 6, made 2026-11-21T08:40:00.000Z, received 2026-11-21T08:42:00.000Z, 2 KiB in 1 sealed pack, 1 pack missing',
    'database: held too: version 5, made 2026-11-21T08:40:00.000Z, received 2026-11-21T08:42:00.000Z, 2 KiB in 1 sealed pack',
    'database: version 7, made 2026-11-21T08:40:00.000Z, received 2026-11-21T08:42:00.000Z, signer unverified: AGENT',
    'database: 2 KiB in 1 sealed pack would be restored to /to/database; with --key its files are listed',
    'state of 2026-11-21T09:00:00.000Z, in 61 seconds',
  ]);
});

it('names what comes next in the order in which a server is rebuilt, whatever order the folders came in', () => {
  const folders = [
    folder('media', null),
    folder('redis', 'command'),
    folder('database', 'postgres'),
    folder('secrets', 'paths'),
  ];
  const steps = describeNextSteps(result(folders), null).filter((line) => /^ +\d/.test(line));
  expect(steps.map((step) => step.replace(/:.*/s, '').trim())).toEqual([
    '1. secrets',
    '2. database',
    '3. redis',
    '4. media',
    '5. mastodon',
  ]);
  expect(steps.join('\n')).toMatch(/pg_restore --no-owner .*\/to\/database.*feeds build/s);
});

it('leaves out what was not restored, and the commands for a database that is there', () => {
  const failed = folder('secrets', 'paths', { failed: [{ path: '', code: 'KEY_WRONG', message: 'no key' }] });
  const steps = describeNextSteps(result([folder('database', 'postgres'), failed]), 'mastodon');
  expect(steps.join('\n')).toContain('1. database: mastodon is there');
  expect(steps.join('\n')).not.toMatch(/pg_restore|secrets/);
  expect(describeNextSteps(result([failed]), null)).toEqual([]);
});
