import { scryptSync } from 'node:crypto';
import { expect, it } from 'vitest';
import { describeRecipients } from '../../../agent/seal/dumper.ts';

it('tells passphrases apart by something that is slow to guess from, since it stays in the database', () => {
  const slow = scryptSync('correct horse', 'mastokeep epoch', 32).toString('hex');
  expect(describeRecipients({ kind: 'passphrase', passphrase: 'correct horse' })).toBe(`passphrase ${slow}`);
  expect(describeRecipients({ kind: 'passphrase', passphrase: 'Correct horse' })).not.toContain(slow);
});
