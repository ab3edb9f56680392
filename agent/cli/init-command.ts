import fs from 'node:fs';
import os from 'node:os';
import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { formatNextSteps } from '../../shared/cli/next-steps.ts';
import { canAsk } from '../../shared/cli/prompt.ts';
import { interruptedExitCode } from '../../shared/cli/run-program.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { requireNewHome, type Home } from '../../shared/io/home.ts';
import { makeNewHome } from '../../shared/io/make-new-home.ts';
import { parseAddress } from '../../shared/link/address.ts';
import { loadRecipients, type KeyFile } from '../../shared/sealing/recipient.ts';
import { assertFolderOutsideHome } from '../assert-folder-outside-home.ts';
import { agentConfigText, parseAgentConfig, type MirrorFolderConfig } from '../config.ts';
import { mastodonMediaFolder } from '../mastodon/media-folder.ts';
import { formatRecoverySheet } from '../recovery-sheet.ts';
import { RecipientDirectory } from '../seal/recipient-directory.ts';
import { passphraseWarning, recipientWarnings } from '../seal/recipient-warnings.ts';
import { readSealingState } from '../seal/sealing-state.ts';
import { agentHome, agentProgram, agentProgramHome } from './agent-home.ts';
import { handOverNewKey, keyKeepAdvice, type HandedKey } from './key-handover.ts';
import { proveKeys } from './key-proof.ts';
import { readRecoverySheet } from './recovery-sheet-command.ts';
import { chooseSealing, type SealingChoice, type SealingOptions } from './sealing-choice.ts';

type InitOptions = SealingOptions & {
  mastodon?: string;
  listen?: string;
  advertise?: string[];
  yes?: true;
  json?: true;
};

const withoutPerson = 'nothing was set up; run it in a terminal, or skip the proof with --yes';

/** `init`: makes a home with an identity and a configuration; never changes one that exists. */
export function addInitCommand(program: Command): void {
  program
    .command('init')
    .description('make a home: identity, configuration and keys to seal to; asks what the options do not say')
    .option(
      '--mastodon <DIR>',
      'the Mastodon installation whose media to replicate (often /home/mastodon/live)',
    )
    .option('--listen <HOST:PORT>', 'where receivers connect to (default: every address, port 22390)')
    .option('--advertise <HOST:PORT>', 'an address that invitations carry; may be repeated', collectOption)
    .option('--recipient <FILE.asc>', 'a public key to seal dumps to; may be repeated', collectOption)
    .option(
      '--generate-key <FILE>',
      'make a key pair to seal to, and give out the private key once: to this new file, which must be in memory (tmpfs), or to the terminal (-)',
    )
    .option('--key-passphrase-file <FILE>', 'the passphrase that shall protect the generated private key')
    .option(
      '--challenge-file <FILE>',
      'write the challenge of the proof to this new file instead of to the terminal',
    )
    .option(
      '--passphrase-file <FILE>',
      'seal with the passphrase in this file, which is then kept on this server',
    )
    .option('--yes', 'ask nothing, and skip the proof that the private key can be used')
    .option('--json', 'print JSON, and ask nothing')
    .action(async (options: InitOptions, command: Command) => {
      await initAgent(options, agentHome(command));
    });
}

async function initAgent(options: InitOptions, home: Home): Promise<void> {
  const listen = options.listen === undefined ? [] : [parseAddress(options.listen)];
  const advertise = (options.advertise ?? []).map(parseAddress);
  const prove = options.yes !== true;
  const ask = prove && options.json !== true && canAsk();
  requireNewHome(home);
  if (options.challengeFile !== undefined && !prove) {
    throw new CodedError('USAGE', '--yes skips the proof that --challenge-file is for');
  }
  const mastodon = options.mastodon ?? (ask ? await askForMastodon() : '');
  const folders = mastodon === '' ? [] : [mastodonMediaFolder(mastodon)];
  for (const folder of folders) assertFolderOutsideHome(folder, home);
  const configText = agentConfigText({ listen, advertise, folders });
  parseAgentConfig(configText, home.configFile);
  const choice = await chooseSealing(options, ask);
  const handed = await giveOutKey(choice, advertise[0]?.host ?? os.hostname());
  const forget = (): void => handed?.forget();
  const hangUp = (): void => process.exit(interruptedExitCode);
  process.once('exit', forget);
  process.once('SIGHUP', hangUp);
  try {
    const keys = choice.kind === 'recipients' ? [...choice.keys] : [];
    if (handed !== null) keys.push(handed.publicKey);
    const recipients = keys.length > 0 ? await loadRecipients(keys) : [];
    if (recipients.length > 0 && prove) {
      process.stderr.write(handed?.fetchAdvice ?? '');
      await proveKeys(recipients, { challengeFile: options.challengeFile ?? null, withoutPerson });
    }
    const passphrase = choice.kind === 'passphrase' ? choice.passphrase : null;
    await makeHome(home, { configText, keys, passphrase });
  } catch (error) {
    forget();
    throw error;
  } finally {
    process.off('exit', forget);
    process.off('SIGHUP', hangUp);
  }
  if (options.json === true) await reportJson(home, folders, choice);
  else await reportText(home, folders, choice);
}

async function askForMastodon(): Promise<string> {
  const { askMastodon } = await import('./init-questions.ts');
  return askMastodon();
}

async function giveOutKey(choice: SealingChoice, host: string): Promise<HandedKey | null> {
  if (choice.kind !== 'recipients' || choice.generate === null) return null;
  const { destination, passphrase } = choice.generate;
  return handOverNewKey(destination, { name: `mastokeep ${host}`, passphrase });
}

/** Durable when it resolves; when it rejects, no identity, keys or configuration of the new home are left. */
async function makeHome(
  home: Home,
  made: { configText: string; keys: readonly KeyFile[]; passphrase: string | null },
): Promise<void> {
  await makeNewHome(home, agentProgram, async () => {
    const directory = new RecipientDirectory(home);
    const hadKeys = fs.existsSync(directory.path);
    try {
      for (const key of made.keys) await directory.add(key);
      if (made.passphrase !== null) directory.setPassphrase(made.passphrase);
      await createDeviceIdentity(home.directory);
      // Last: a home without it counts as not initialised.
      writeFileAtomic(home.configFile, made.configText, 0o640);
    } catch (error) {
      if (!hadKeys) fs.rmSync(directory.path, { recursive: true, force: true });
      throw error;
    }
  });
}

async function reportJson(
  home: Home,
  folders: readonly MirrorFolderConfig[],
  choice: SealingChoice,
): Promise<void> {
  const sheet = readRecoverySheet(home, await readSealingState(new RecipientDirectory(home)));
  const destination = choice.kind === 'recipients' ? (choice.generate?.destination ?? null) : null;
  printJson({
    deviceId: sheet.deviceId,
    home: home.directory,
    config: home.configFile,
    folders: folders.map(({ id, kind, path }) => ({ id, kind, path })),
    recipients: sheet.recipients.map(({ fingerprint }) => fingerprint),
    privateKeyFile: destination === '-' ? null : destination,
    passphraseFile: choice.kind === 'passphrase' ? new RecipientDirectory(home).passphraseFile : null,
    recoverySheet: formatRecoverySheet(sheet),
  });
}

async function reportText(
  home: Home,
  folders: readonly MirrorFolderConfig[],
  choice: SealingChoice,
): Promise<void> {
  const directory = new RecipientDirectory(home);
  const recipients = await directory.list();
  const warnings =
    choice.kind === 'passphrase'
      ? [passphraseWarning(directory.passphraseFile)]
      : recipientWarnings(recipients, Date.now());
  printText(
    `made ${home.directory}`,
    ...folders.map(({ id, path }) => `folder ${id}: ${path}`),
    ...recipients.map(({ fingerprint, userIds }) => `sealed to ${fingerprint} ${userIds[0] ?? ''}`.trimEnd()),
    ...(choice.kind === 'recipients' && choice.generate !== null
      ? keyKeepAdvice(choice.generate.destination)
      : []),
    ...warnings,
    '',
    formatRecoverySheet(readRecoverySheet(home, await readSealingState(directory))),
    '',
    ...formatNextSteps(agentProgramHome, home, [
      ...(folders.length > 0
        ? []
        : [['folder add ID --kind mirror --path DIR', 'what to replicate'] as const]),
      ...(choice.kind === 'none'
        ? [['recipient add FILE.asc', 'before sealed folders (database, secrets)'] as const]
        : []),
      ['run', `start it (or: systemctl enable --now ${agentProgram})`],
      ['invite', 'then "mastokeep-receiver join INVITATION" on the receiver'],
      ['status', 'see what is replicated'],
      ['recovery-sheet', 'print the sheet above, once folders and receivers are there'],
    ]),
  );
}
