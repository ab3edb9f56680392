import type { CodedError } from '../../shared/errors/coded-error.ts';
import type { ErrorCode } from '../../shared/errors/error-table.ts';
import type { Recipient } from '../../shared/sealing/recipient.ts';
import type { SealingState } from './sealing-state.ts';

const dayMs = 86_400_000;
const yearMs = 365 * dayMs;
const alarmBeforeMs = 30 * dayMs;

/** What a person should think about when keys are chosen: one recipient only, keys that end soon, GnuPG that cannot read. */
export function recipientWarnings(recipients: readonly Recipient[], nowMs: number): string[] {
  const warnings: string[] = [];
  if (recipients.length === 1) {
    warnings.push(
      'warning: one recipient only: if its private key or passphrase is lost, so is every sealed copy; add a second key',
    );
  }
  for (const { fingerprint, expiresAt, readableByGpg } of recipients) {
    if (expiresAt !== null && expiresAt < nowMs + yearMs) {
      warnings.push(`warning: ${describeExpiry(fingerprint, expiresAt, nowMs)}`);
    }
    if (!readableByGpg) {
      warnings.push(
        `warning: GnuPG 2.2 cannot use key ${fingerprint} (OpenPGP v6 or X25519): its owner needs another program, such as sq`,
      );
    }
  }
  if (recipients.length > 0 && recipients.every(({ readableByGpg }) => !readableByGpg)) {
    warnings.push(
      'warning: nobody can restore by hand with gpg 2.2: add a key that it can use (ed25519/cv25519 or RSA)',
    );
  }
  return warnings;
}

/** What passphrase mode gives up, in a sentence. */
export function passphraseWarning(passphraseFile: string): string {
  return `warning: the passphrase stays on this server, in ${passphraseFile} (0600): who breaks in here can read every sealed copy`;
}

/** What a running agent alarms about, each with a key of its own. */
export function sealingAlarms(
  { recipients, problems }: SealingState,
  nowMs: number,
): { key: string; code: ErrorCode; message: string }[] {
  const [problem] = problems;
  if (problem !== undefined) {
    return [{ key: 'recipients', code: problem.code, message: describeProblems(problems) }];
  }
  return recipients.flatMap(({ fingerprint, expiresAt }) => {
    if (expiresAt === null || expiresAt > nowMs + alarmBeforeMs) return [];
    return [
      {
        key: `recipient ${fingerprint}`,
        code: expiresAt <= nowMs ? ('KEY_UNUSABLE' as const) : ('KEY_EXPIRING' as const),
        message: describeExpiry(fingerprint, expiresAt, nowMs),
      },
    ];
  });
}

/** Why nothing can be sealed, in a line. */
export function describeProblems(problems: readonly CodedError[]): string {
  return problems.map(({ message }) => message).join('; ');
}

function describeExpiry(fingerprint: string, expiresAt: number, nowMs: number): string {
  const day = new Date(expiresAt).toISOString().slice(0, 10);
  const remedy = 'extend it, export it and run "mastokeep-agent recipient add FILE.asc" again';
  if (expiresAt <= nowMs)
    return `key ${fingerprint} expired on ${day}; it is still sealed to, so its owner can read: ${remedy}`;
  const days = Math.floor((expiresAt - nowMs) / dayMs);
  return `key ${fingerprint} expires on ${day}, in ${days} days: ${remedy}`;
}
