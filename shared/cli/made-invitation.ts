import { printJson, printText } from './command-output.ts';
import { describeDuration } from './duration.ts';

/** An invitation that was just opened; `expiresAt` as ISO 8601, `addresses` are those that it carries. */
export type MadeInvitation = { invitation: string; expiresAt: string; addresses: string[] };

/** Prints it, the invitation itself last; `next` says what to do with it on the other device. */
export function printInvitation(made: MadeInvitation, options: { json: boolean; next: string }): void {
  if (options.json) {
    printJson(made);
    return;
  }
  const lifetimeMs = Date.parse(made.expiresAt) - Date.now();
  printText(
    `good once, for ${describeDuration(lifetimeMs)}; it carries ${made.addresses.join(', ')}`,
    options.next,
    '',
    made.invitation,
  );
}
