import { scryptSync } from 'node:crypto';
import { expect, it } from 'vitest';
import { describeRecipients } from '../../../agent/seal/dumper.ts';
import type { Recipient } from '../../../shared/sealing/recipient.ts';

it('tells passphrases apart by something that is slow to guess from, since it stays in the database', () => {
  const slow = scryptSync('correct horse', 'mastokeep epoch', 32).toString('hex');
  expect(describeRecipients({ kind: 'passphrase', passphrase: 'correct horse' })).toBe(`passphrase ${slow}`);
  expect(describeRecipients({ kind: 'passphrase', passphrase: 'Correct horse' })).not.toContain(slow);
});

const recipient = (name: string, changes: Partial<Recipient> = {}): Recipient => ({
  fingerprint: name.repeat(40),
  encryptionKeyId: name.repeat(16),
  userIds: [name],
  expiresAt: null,
  readableByGpg: true,
  armored: `key ${name}`,
  checkedAt: 0,
  ...changes,
});
const toldOf = (...recipients: Recipient[]): string => describeRecipients({ kind: 'recipients', recipients });

it('tells recipients apart by their keys, not by their order, names or the end of a key that was extended', () => {
  const [a, b] = [recipient('A'), recipient('B')];
  expect(toldOf(b, a)).toBe(toldOf(a, b));
  const extended = recipient('A', {
    expiresAt: 1,
    armored: 'exported anew',
    userIds: ['A', 'C'],
    checkedAt: 1,
  });
  expect(toldOf(extended, b)).toBe(toldOf(a, b));
  expect(toldOf(a)).not.toBe(toldOf(a, b));
  // another subkey: who has only that one could read nothing that was sealed before
  expect(toldOf(recipient('A', { encryptionKeyId: 'C'.repeat(16) }), b)).not.toBe(toldOf(a, b));
});
