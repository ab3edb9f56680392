import fs from 'node:fs';
import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { formatTable } from '../../shared/cli/table.ts';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { becomeHomeOwner } from '../../shared/io/home.ts';
import type { KeyFile, Recipient } from '../../shared/sealing/recipient.ts';
import { RecipientDirectory } from '../seal/recipient-directory.ts';
import { passphraseWarning, recipientWarnings } from '../seal/recipient-warnings.ts';
import { readSealingState } from '../seal/sealing-state.ts';
import { shownRecipient } from '../seal/shown-recipient.ts';
import { initialisedAgentHome } from './agent-home.ts';
import { proveKeys } from './key-proof.ts';
import { failForUnusableKeys } from './unusable-keys.ts';

const newEpoch = 'the next dump begins a new epoch: everything is sealed and sent once more';

/** `recipient list|add|remove|prove`: the public keys that sealed folders are sealed to. */
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
      const { mode, recipients, problems } = await readSealingState(directory);
      const passphrase = mode === 'passphrase';
      if (options.json === true) {
        const unusableKeys = problems.map(({ message }) => message);
        printJson({ recipients: recipients.map(shownRecipient), unusableKeys, passphrase });
      } else if (passphrase) {
        printText('sealed with a passphrase', passphraseWarning(directory.passphraseFile));
      } else if (mode === 'none') {
        printText('no recipients: add one with "mastokeep-agent recipient add FILE.asc"');
      } else if (recipients.length > 0) {
        printText(formatRecipients(recipients), ...recipientWarnings(recipients, Date.now()));
      }
      failForUnusableKeys(problems);
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
      if (options.json === true) {
        printJson({ recipients: added.map(shownRecipient) });
        return;
      }
      const { recipients, problems } = await directory.survey();
      printText(
        formatRecipients(added),
        newEpoch,
        'is the private key at hand? prove it: mastokeep-agent recipient prove',
        ...(directory.hasPassphrase()
          ? [
              `the passphrase in ${directory.passphraseFile} is no longer used; older versions need it: note it elsewhere, then remove the file`,
            ]
          : []),
        ...recipientWarnings(recipients, Date.now()),
        ...problems.map(unusableWarning),
      );
    });
  recipient
    .command('remove')
    .description('no longer seal to this key; it can still read what was sealed before')
    .argument('<KEY-ID>', 'fingerprint or key ID')
    .option('--json', 'print JSON')
    .action(async (keyId: string, options: { json?: true }, command: Command) => {
      const directory = directoryOf(command);
      const { fingerprint, recipient } = await directory.remove(keyId);
      if (options.json === true) {
        printJson({ removed: recipient === null ? { fingerprint } : shownRecipient(recipient) });
      } else {
        const { recipients, problems } = await directory.survey();
        printText(
          `removed ${fingerprint}`,
          newEpoch,
          ...recipientWarnings(recipients, Date.now()),
          ...problems.map(unusableWarning),
        );
      }
    });
  addRecipientProve(recipient);
}

function addRecipientProve(recipient: Command): void {
  recipient
    .command('prove')
    .description(
      'prove that a private key opens what is sealed, by decrypting a challenge; worth doing yearly',
    )
    .argument('[KEY-ID]', 'fingerprint or key ID of the one to prove (default: any of them)')
    .option('--challenge-file <FILE>', 'write the challenge to this new file instead of to the terminal')
    .action(async (keyId: string | undefined, options: { challengeFile?: string }, command: Command) => {
      const directory = directoryOf(command);
      const recipients = keyId === undefined ? await directory.list() : [await directory.find(keyId)];
      if (recipients.length === 0) {
        throw new CodedError('CONFIG_INVALID', 'there is no recipient to prove', {
          hint: 'add a public key: mastokeep-agent recipient add FILE.asc',
        });
      }
      await proveKeys(recipients, {
        challengeFile: options.challengeFile ?? null,
        withoutPerson: 'run it in a terminal, where somebody can type the answer',
      });
      printText('proved: the private key opens what is sealed here');
    });
}

function unusableWarning({ message }: CodedError): string {
  return `warning: nothing is sealed until this is mended or removed: ${message}`;
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

function directoryOf(command: Command): RecipientDirectory {
  const home = initialisedAgentHome(command);
  becomeHomeOwner(home);
  return new RecipientDirectory(home);
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
