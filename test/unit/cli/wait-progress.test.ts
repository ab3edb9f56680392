import { expect, it, vi } from 'vitest';
import type { AgentStatus } from '../../../agent/agent-commands.ts';
import { formatWaiting, showWaitProgress } from '../../../agent/cli/wait-progress.ts';

const status: AgentStatus = {
  deviceId: 'AAAAAAA-BBBBBBB',
  version: '0.1.0',
  listening: [],
  paused: false,
  pausedUntil: null,
  folders: [],
  receivers: [
    {
      deviceId: 'CCCCCCC-DDDDDDD',
      connected: true,
      uploadKibPerSecond: null,
      folders: [{ id: 'media', durableSequence: 90, lagBytes: 1536, lagFiles: 7, lacksVersion: false }],
    },
    { deviceId: 'EEEEEEE-FFFFFFF', connected: false, uploadKibPerSecond: null, folders: [] },
  ],
  upload: { totalKibPerSecond: null, period: null },
  sealing: { mode: 'none', recipients: [], passphraseFile: null, problem: null },
  spoolBytes: 0,
  alarms: [
    { code: 'STORE_FULL', message: 'receiver CCCCCCC, folder media: full', since: '2026-11-21T11:00:00Z' },
  ],
};

it('says what is missing where, and what is in the way', () => {
  expect(formatWaiting(status)).toEqual([
    'missing on CCCCCCC: 7 files, 1.5 KiB',
    'STORE_FULL: receiver CCCCCCC, folder media: full',
    'receiver EEEEEEE is not connected',
  ]);
});

it('writes only what has changed, and nothing after its end', async () => {
  vi.useFakeTimers();
  try {
    const written: string[] = [];
    let now = { ...status, alarms: [] as AgentStatus['alarms'], receivers: status.receivers.slice(0, 1) };
    const end = showWaitProgress(
      { status: async () => now, write: (line) => written.push(line) },
      { intervalMs: 1000 },
    );
    await vi.advanceTimersByTimeAsync(3000);
    now = { ...now, paused: true };
    await vi.advanceTimersByTimeAsync(1000);
    end();
    now = status;
    await vi.advanceTimersByTimeAsync(3000);
    expect(written).toEqual([
      'missing on CCCCCCC: 7 files, 1.5 KiB\n',
      'missing on CCCCCCC: 7 files, 1.5 KiB\nthe agent is paused: "mastokeep-agent resume" ends that\n',
    ]);
  } finally {
    vi.useRealTimers();
  }
});
