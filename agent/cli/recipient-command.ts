import fs from 'node:fs';
import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { formatTable } from '../../shared/cli/table.ts';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { becomeHomeOwner } from '../../shared/io/home.ts';
import type { KeyFile, Recipient } from '../../shared/sealing/recipient.ts';
import { RecipientDirectory } from '../seal/recipient-directory.ts';
import { initialisedAgentHome } from './agent-home.ts';

/** `recipient list|add|remove`: the public keys that sealed folders are sealed to. */
export function addRecipientCommands(program: Command): void {
  const recipient = program
    .command('recipient')
    .description('who can read what is sealed: OpenPGP public keys');
  recipient
    .command('list')
    .description('show them')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const directory = directoryOf(command);
      const recipients = await directory.list();
      const passphrase = recipients.length === 0 && directory.hasPassphrase();
      if (options.json === true) printJson({ recipients: recipients.map(shown), passphrase });
      else if (passphrase) printText('sealed with a passphrase, which lies on this server');
      else if (recipients.length === 0)
        printText('no recipients: add one with "mastokeep-agent recipient add FILE.asc"');
      else printText(formatRecipients(recipients), ...recipientWarnings(recipients));
    });
  recipient
    .command('add')
    .description('seal to this key too, from the next dump on; it cannot read what was sealed before')
    .argument('<FILE.asc>', 'public keys, as "gpg --armor --export ADDRESS" prints them')
    .option('--json', 'print JSON')
    .action(async (file: string, options: { json?: true }, command: Command) => {
      const key = readKeyFile(file);
      const directory = directoryOf(command);
      const added = await directory.add(key);
      if (options.json === true) printJson({ recipients: added.map(shown) });
      else
        printText(
          formatRecipients(added),
          'the next dump begins a new epoch: everything is sealed and sent once more',
          ...recipientWarnings(await directory.list()),
        );
    });
  recipient
    .command('remove')
    .description('no longer seal to this key; it can still read what was sealed before')
    .argument('<KEY-ID>', 'fingerprint or key ID')
    .option('--json', 'print JSON')
    .action(async (keyId: string, options: { json?: true }, command: Command) => {
      const directory = directoryOf(command);
      const removed = await directory.remove(keyId);
      if (options.json === true) printJson({ removed: shown(removed) });
      else
        printText(
          `removed ${removed.fingerprint}`,
          'the next dump begins a new epoch: everything is sealed and sent once more',
          ...recipientWarnings(await directory.list()),
        );
    });
}

/** @throws CodedError KEY_INVALID (it cannot be read) */
export function readKeyFile(file: string): KeyFile {
  try {
    return { name: file, content: fs.readFileSync(file) };
  } catch (cause) {
    throw new CodedError(
      'KEY_INVALID',
      `${file} cannot be read: ${systemErrorCode(cause) ?? String(cause)}`,
      { cause },
    );
  }
}

/** What a person should think about. */
export function recipientWarnings(recipients: readonly Recipient[]): string[] {
  const warnings: string[] = [];
  if (recipients.length === 1) {
    warnings.push(
      'warning: with one recipient only, losing its private key or passphrase loses every sealed copy',
    );
  }
  for (const { fingerprint, expiresAt, readableByGpg } of recipients) {
    if (expiresAt !== null)
      warnings.push(`warning: ${fingerprint} expires on ${new Date(expiresAt).toISOString()}`);
    if (!readableByGpg) warnings.push(`warning: ${fingerprint} is of a form that GnuPG does not read`);
  }
  return warnings;
}

function directoryOf(command: Command): RecipientDirectory {
  const home = initialisedAgentHome(command);
  becomeHomeOwner(home);
  return new RecipientDirectory(home);
}

function shown({ fingerprint, encryptionKeyId, userIds, expiresAt, readableByGpg }: Recipient): object {
  const expires = expiresAt === null ? null : new Date(expiresAt).toISOString();
  return { fingerprint, keyId: encryptionKeyId, userIds, expiresAt: expires, readableByGpg };
}

function formatRecipients(recipients: readonly Recipient[]): string {
  return formatTable(
    ['FINGERPRINT', 'SEALS TO', 'OWNER'],
    recipients.map(({ fingerprint, encryptionKeyId, userIds }) => [
      fingerprint,
      encryptionKeyId,
      userIds[0] ?? '-',
    ]),
  );
}
