import type { HeldVersion } from './version-index.ts';

/** The version with which the set of recipients became another one; `at`: its receipt, ms by the receiver's clock. */
type RecipientChange = {
  at: number;
  number: number;
  epoch: string;
  added: readonly string[];
  removed: readonly string[];
};

/** Key IDs that the newest version is sealed to (none: to a passphrase); null before the first. Changes newest first. */
export type RecipientHistory = { keyIds: readonly string[] | null; changes: readonly RecipientChange[] };

/** `versions`: in the order in which they were received. The first version changes nothing. */
export function recipientHistory(
  versions: readonly Pick<HeldVersion, 'number' | 'epoch' | 'receivedAt' | 'recipients'>[],
): RecipientHistory {
  const changes: RecipientChange[] = [];
  let before: readonly string[] | null = null;
  for (const { number, epoch, receivedAt, recipients } of versions) {
    const known: readonly string[] = before ?? recipients;
    before = recipients;
    const added = recipients.filter((keyId) => !known.includes(keyId));
    const removed = known.filter((keyId) => !recipients.includes(keyId));
    if (added.length + removed.length > 0) changes.push({ at: receivedAt, number, epoch, added, removed });
  }
  return { keyIds: before, changes: changes.toReversed() };
}
