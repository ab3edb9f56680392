/** A version and the key IDs that it is sealed to; `receivedAt`: ms, the receiver's clock. */
export type SealedTo = { number: number; receivedAt: number; recipients: readonly string[] };

/** What a person said yes to: versions received until `at`, and these keys. */
export type AcceptedRecipients = { at: number; keyIds: readonly string[] };

export type RecipientChange = { number: number; added: readonly string[]; removed: readonly string[] };

/**
 * The first version that is sealed to other keys than were accepted (null: than the first one held is); null where none is.
 * `versions`: in the order of their receipt.
 */
export function recipientChange(
  versions: readonly SealedTo[],
  accepted: AcceptedRecipients | null,
): RecipientChange | null {
  const known = accepted?.keyIds ?? versions[0]?.recipients ?? [];
  const acceptedUntil = accepted?.at ?? -Infinity;
  for (const { number, receivedAt, recipients } of versions) {
    if (receivedAt <= acceptedUntil) continue;
    const added = recipients.filter((keyId) => !known.includes(keyId));
    const removed = known.filter((keyId) => !recipients.includes(keyId));
    if (added.length + removed.length > 0) return { number, added, removed };
  }
  return null;
}
