import { describe, expect, it } from 'vitest';
import { recipientWarnings, sealingAlarms } from '../../../agent/seal/recipient-warnings.ts';
import type { SealingState } from '../../../agent/seal/sealing-state.ts';
import { CodedError } from '../../../shared/errors/coded-error.ts';
import type { Recipient } from '../../../shared/sealing/recipient.ts';

const dayMs = 86_400_000;
const now = Date.parse('2026-11-21T12:00:00Z');

const recipient = (fingerprint: string, changes: Partial<Recipient> = {}): Recipient => ({
  fingerprint,
  encryptionKeyId: fingerprint,
  userIds: [],
  expiresAt: null,
  checkedAt: now,
  readableByGpg: true,
  armored: '',
  ...changes,
});

const state = (...recipients: Recipient[]): SealingState => ({
  mode: 'recipients',
  recipients,
  passphraseFile: null,
  problems: [],
});

describe('warnings', () => {
  it('are none for two keys that last and that gpg can use', () => {
    expect(
      recipientWarnings([recipient('A'), recipient('B', { expiresAt: now + 366 * dayMs })], now),
    ).toEqual([]);
  });

  it('name a key that ends within a year, and one that has ended', () => {
    const [soon, past, ...more] = recipientWarnings(
      [recipient('A', { expiresAt: now + 364 * dayMs }), recipient('B', { expiresAt: now - dayMs })],
      now,
    );
    expect(soon).toMatch(/^warning: key A expires on 2027-11-20, in 364 days: extend it/);
    expect(past).toMatch(/^warning: key B expired on 2026-11-20; it is still sealed to/);
    expect(more).toEqual([]);
  });

  it('tell that gpg cannot read, and worse when nobody can with gpg', () => {
    const v6 = recipient('A', { readableByGpg: false });
    expect(recipientWarnings([v6, recipient('B')], now)).toEqual([
      expect.stringContaining('GnuPG 2.2 cannot use key A'),
    ]);
    expect(recipientWarnings([v6], now)).toEqual([
      expect.stringContaining('one recipient only'),
      expect.stringContaining('GnuPG 2.2 cannot use key A'),
      expect.stringContaining('nobody can restore by hand'),
    ]);
  });
});

describe('alarms', () => {
  it('are raised 30 days before a key ends, and have another code when it has', () => {
    const ends = now + 30 * dayMs;
    const key = recipient('A', { expiresAt: ends });
    expect(sealingAlarms(state(key, recipient('B')), now - 1)).toEqual([]);
    expect(sealingAlarms(state(key), now)).toEqual([
      { key: 'recipient A', code: 'KEY_EXPIRING', message: expect.stringContaining('in 30 days') as string },
    ]);
    expect(sealingAlarms(state(key), ends)).toEqual([
      { key: 'recipient A', code: 'KEY_UNUSABLE', message: expect.stringContaining('expired on') as string },
    ]);
  });

  it('say why nothing can be sealed', () => {
    const problem = new CodedError('KEY_INVALID', 'x.asc is garbage');
    expect(sealingAlarms({ ...state(), problems: [problem] }, now)).toEqual([
      { key: 'recipients', code: 'KEY_INVALID', message: 'x.asc is garbage' },
    ]);
  });
});
