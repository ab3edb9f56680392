import { expect, it } from 'vitest';
import type { AgentStatus } from '../../../agent/agent-commands.ts';
import { formatAgentStatus } from '../../../agent/cli/status-command.ts';
import { describeObstacles } from '../../../agent/describe-obstacles.ts';
import { formatReceiverStatus } from '../../../receiver/cli/status-command.ts';
import type { ReceiverStatus } from '../../../receiver/receiver-commands.ts';

const now = Date.parse('2026-11-21T12:00:00Z');

const agentStatus: AgentStatus = {
  deviceId: 'AAAAAAA-BBBBBBB',
  version: '0.1.0',
  listening: ['[::]:22390'],
  paused: false,
  pausedUntil: null,
  folders: [
    {
      id: 'media',
      kind: 'mirror',
      path: '/srv/media',
      files: 12_345,
      bytes: 3 * 2 ** 30,
      sequence: 99,
      state: 'stopped',
      reason: 'its root is empty',
      lastScanAt: '2026-11-21T11:58:00Z',
      lastVersionAt: null,
      watching: 'degraded',
      watchingReason: '3 directories could not be watched',
      unreadable: 2,
      unreadablePaths: ['a', 'b'],
      skippedSpecial: 0,
    },
    {
      id: 'database',
      kind: 'sealed',
      path: null,
      files: 3,
      bytes: 2 ** 20,
      sequence: 4,
      state: 'idle',
      reason: null,
      lastScanAt: '2026-11-21T11:58:00Z',
      lastVersionAt: '2026-11-21T11:58:00Z',
      watching: 'off',
      watchingReason: null,
      unreadable: 0,
      unreadablePaths: [],
      skippedSpecial: 0,
    },
  ],
  receivers: [
    {
      deviceId: 'CCCCCCC-DDDDDDD',
      connected: true,
      uploadKibPerSecond: null,
      folders: [{ id: 'media', durableSequence: 90, lagBytes: 1536, lagFiles: 7, lacksVersion: false }],
    },
    { deviceId: 'CCCCCCC-EEEEEEE', connected: false, uploadKibPerSecond: null, folders: [] },
  ],
  upload: { totalKibPerSecond: null, period: null },
  sealing: { mode: 'none', recipients: [], passphraseFile: null, problem: null },
  spoolBytes: 0,
  alarms: [{ code: 'SOURCE_STOPPED', message: 'folder media is stopped', since: '2026-11-21T11:00:00Z' }],
};

it('shows an agent to people: states with reasons, what is missing where, alarms', () => {
  expect(formatAgentStatus(agentStatus, now)).toBe(`device AAAAAAA-BBBBBBB

FOLDER    STATE                       FILES  SIZE   LAST SCAN      LAST CHANGE    WATCHING                                      UNREADABLE
media     stopped: its root is empty  12345  3 GiB  2 minutes ago  -              degraded: 3 directories could not be watched  2
database  idle                        -      1 MiB  2 minutes ago  2 minutes ago  -                                             0

no key to seal to: add one with "mastokeep-agent recipient add FILE.asc"

RECEIVER         LINK           FOLDER  MISSING THERE
CCCCCCC-DDDDDDD  connected      media   7 files, 1.5 KiB
CCCCCCC-EEEEEEE  not connected  -       -

alarm SOURCE_STOPPED (60 minutes ago): folder media is stopped
`);
});

it('shows what limits the upload now', () => {
  const [first] = agentStatus.receivers;
  const limited = first === undefined ? [] : [{ ...first, uploadKibPerSecond: 200 }];
  const upload = { totalKibPerSecond: 500, period: { from: '08:00', to: '23:00' } };
  const text = formatAgentStatus({ ...agentStatus, receivers: limited, upload }, now);
  expect(text).toContain('connected, at most 200 KiB/s');
  expect(text).toContain('upload: at most 500 KiB/s to all receivers together, from 08:00 to 23:00');
  const free = { ...upload, totalKibPerSecond: null };
  expect(formatAgentStatus({ ...agentStatus, upload: free }, now)).toContain(
    'upload: no limit for all receivers together, from 08:00 to 23:00',
  );
});

it('keeps the many lines that a program said out of the table, and has all of them in the alarm', () => {
  const said = `psql failed:\n\tno such file\n\tIs the server running locally${'?'.repeat(100)}`;
  const [folder] = agentStatus.folders;
  const status: AgentStatus = {
    ...agentStatus,
    folders: folder === undefined ? [] : [{ ...folder, reason: `the last dump failed: ${said}` }],
    alarms: [{ code: 'DUMP_FAILED', message: said, since: '2026-11-21T11:00:00Z' }],
  };
  const text = formatAgentStatus(status, now);
  expect(text).toMatch(
    /^media {3}stopped: the last dump failed: psql failed: no such file Is the server running locally\?{32}… {2}12345 /m,
  );
  expect(text).toContain(
    `(60 minutes ago): psql failed:\n  no such file\n  Is the server running locally${'?'.repeat(100)}\n`,
  );
});

it('shows to whom sealed folders are sealed, and what a passphrase on the server means', () => {
  const sealing = (changed: Partial<AgentStatus['sealing']>): string =>
    formatAgentStatus({ ...agentStatus, sealing: { ...agentStatus.sealing, ...changed } }, now);
  const recipients = [
    { fingerprint: 'ABCD', keyId: 'EF', userIds: ['Admin'], expiresAt: null, readableByGpg: true },
    {
      fingerprint: '1234',
      keyId: '56',
      userIds: [],
      expiresAt: '2027-01-01T00:00:00.000Z',
      readableByGpg: true,
    },
  ];
  expect(sealing({ mode: 'recipients', recipients, passphraseFile: '/h/passphrase' })).toContain(`
SEALED TO  OWNER  EXPIRES
ABCD       Admin  never
1234       -      2027-01-01
a passphrase that older versions need lies on this server, in /h/passphrase
`);
  expect(sealing({ mode: 'passphrase', passphraseFile: '/h/passphrase' })).toContain(
    '\nwarning: the passphrase stays on this server, in /h/passphrase (0600): who breaks in',
  );
  expect(sealing({ mode: 'recipients', problem: 'x.asc is garbage' })).toContain(
    '\nnothing can be sealed: x.asc is garbage\n',
  );
  const [folder] = agentStatus.folders;
  const folders = folder === undefined ? [] : [{ ...folder, kind: 'sealed' as const }];
  expect(formatAgentStatus({ ...agentStatus, folders }, now)).toContain('no key to seal to: add one');
});

it('says that a receiver lacks the latest version of a sealed folder, though nothing is on its way to it', () => {
  const lacking = (lagFiles: number): string => {
    const folder = { id: 'database', durableSequence: 90, lagBytes: 512, lagFiles, lacksVersion: true };
    const receivers = [
      { deviceId: 'CCCCCCC-DDDDDDD', connected: true, uploadKibPerSecond: null, folders: [folder] },
    ];
    const status = { ...agentStatus, alarms: [], receivers };
    return `${formatAgentStatus(status, now)}${describeObstacles(status).join('\n')}`;
  };
  expect(lacking(0)).toMatch(/database +the latest version, until the next dump$/m);
  expect(lacking(0)).toContain('CCCCCCC lacks the latest version of database: "mastokeep-agent dump"');
  expect(lacking(1)).toMatch(/database +1 file, 512 B$/m);
  expect(lacking(1)).not.toContain('lacks');
});

it('says when an agent is paused and what is missing at the beginning', () => {
  const text = formatAgentStatus(
    {
      ...agentStatus,
      paused: true,
      pausedUntil: '2026-11-21T18:00:00Z',
      folders: [],
      receivers: [],
      alarms: [],
    },
    now,
  );
  expect(text).toContain('paused, goes on in 6 hours');
  expect(text).toContain('mastokeep-agent folder add');
  expect(text).toContain('mastokeep-agent invite');
});

it('shows a receiver to people: what is held of whom, quota, versions, disk', () => {
  const status: ReceiverStatus = {
    deviceId: 'CCCCCCC-DDDDDDD',
    version: '0.1.0',
    listening: [],
    agents: [
      {
        deviceId: 'AAAAAAA-BBBBBBB',
        formerly: ['HHHHHHH-IIIIIII'],
        paired: true,
        connected: true,
        frozen: true,
        freezes: [
          { folder: 'media', code: 'MASS_CHANGE', since: '2026-11-21T11:00:00Z', message: 'files are gone' },
        ],
        quotaBytes: 2 ** 40,
        usedBytes: 4 * 2 ** 30,
        points: { count: 0, latestAt: null, oldestAt: null, refused: 9976, forgotten: 2 },
        folders: [
          {
            id: 'media',
            kind: 'mirror',
            files: 5,
            bytes: 3 * 2 ** 30,
            versions: 2,
            versionBytes: 2 ** 30,
            durableSequence: 9,
            lastDurableAt: '2026-11-21T11:59:48Z',
            deletedGoneBy: '2027-11-21T14:00:00Z',
            recipients: null,
          },
          {
            id: 'database',
            kind: 'sealed',
            files: null,
            bytes: 2 ** 30,
            versions: 3,
            versionBytes: 0,
            durableSequence: 40,
            lastDurableAt: '2026-11-21T11:59:48Z',
            deletedGoneBy: null,
            recipients: {
              keyIds: ['AAAAAAAAAAAAAAAA', 'BBBBBBBBBBBBBBBB'],
              changes: [
                {
                  at: '2026-11-21T10:00:00Z',
                  number: 3,
                  epoch: '00000000000000aa',
                  added: ['BBBBBBBBBBBBBBBB'],
                  removed: ['CCCCCCCCCCCCCCCC'],
                },
              ],
            },
          },
        ],
      },
      {
        deviceId: 'FFFFFFF-GGGGGGG',
        formerly: [],
        paired: false,
        connected: false,
        frozen: false,
        freezes: [],
        quotaBytes: null,
        usedBytes: 0,
        points: { count: 0, latestAt: null, oldestAt: null, refused: 0, forgotten: 0 },
        folders: [],
      },
    ],
    disk: { freeBytes: 10 * 2 ** 30, usedBytes: 90 * 2 ** 30 },
    scrub: {
      coveredAt: null,
      damaged: 2,
      lacksRoom: 'it is full',
      startedAt: new Date(now - 3_600_000).toISOString(),
      done: false,
      readBytes: 3 * 2 ** 30,
      wholeBytes: 8 * 2 ** 30,
      found: 3,
      repaired: 1,
    },
    alarms: [],
  };
  expect(formatReceiverStatus(status, now)).toBe(`device CCCCCCC-DDDDDDD
disk   90 GiB used, 10 GiB free

AGENT    LINK       USED            FOLDER    FILES  SIZE   VERSIONS  LAST RECEIVED
AAAAAAA  connected  4 GiB of 1 TiB  media     5      3 GiB  2, 1 GiB  12 seconds ago
AAAAAAA  connected  4 GiB of 1 TiB  database  -      1 GiB  3         12 seconds ago
FFFFFFF  unpaired   0 B             -         -      -      -         -

AAAAAAA goes on with the data of HHHHHHH-IIIIIII

folder database is readable with keys AAAAAAAAAAAAAAAA, BBBBBBBBBBBBBBBB
  changed 2 hours ago with version 3: +BBBBBBBBBBBBBBBB -CCCCCCCCCCCCCCCC

a file of media that is deleted today stays here as long as the agent is frozen

agent AAAAAAA is frozen (media MASS_CHANGE, found 2026-11-21T11:00:00Z, 60 minutes ago): nothing of it expires
  look at the server first; when all is well: mastokeep-receiver release --agent AAAAAAA

2 restore points are forgotten, but not all of what only that held is removed yet: tried again every ten minutes, when no restore reads

9,976 restore points were refused of agent AAAAAAA so far: too many at once, too late, or not what they claim

what is stored is being read through: 3 GiB of 8 GiB, the first time, 2 damaged and no room to make them whole
`);
  const [agent, ...others] = status.agents;
  if (agent === undefined) throw new Error('no agent');
  const thawed = { ...status, agents: [{ ...agent, frozen: false, freezes: [] }, ...others] };
  expect(formatReceiverStatus(thawed, now)).toContain(
    '\n\na file of media that is deleted today has left here by 2027-11-21 at the latest, pinned restore points apart\n\n',
  );
  const [media, ...rest] = agent.folders;
  if (media === undefined) throw new Error('no folder');
  const folders = [{ ...media, deletedGoneBy: null }, { ...media, id: 'emoji' }, ...rest];
  expect(
    formatReceiverStatus({ ...thawed, agents: [{ ...agent, frozen: false, freezes: [], folders }] }, now),
  ).toContain(
    '\n\na file of media that is deleted today may stay here for ever\n' +
      'a file of emoji that is deleted today has left here by 2027-11-21 at the latest, pinned restore points apart\n\n',
  );
});
