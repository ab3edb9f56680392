import fs from 'node:fs';
import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { prepareNewHome } from '../../shared/io/home.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { askLine } from '../../shared/io/terminal.ts';
import { loadRecipients } from '../../shared/sealing/recipient.ts';
import { formatAddress, parseAddress } from '../../shared/link/address.ts';
import { agentConfigText, parseAgentConfig, type MirrorFolderConfig } from '../config.ts';
import { mastodonMediaFolder } from '../mastodon/media-folder.ts';
import { RecipientDirectory } from '../seal/recipient-directory.ts';
import { agentHome, agentProgram } from './agent-home.ts';
import { readKeyFile, recipientWarnings } from './recipient-command.ts';

type InitOptions = {
  mastodon?: string;
  recipient?: string[];
  passphraseFile?: string;
  listen?: string;
  advertise?: string[];
  yes?: true;
  json?: true;
};

/** `init`: makes a home with an identity and a configuration; never changes one that exists. */
export function addInitCommand(program: Command): void {
  program
    .command('init')
    .description('make a home: identity and configuration')
    .option(
      '--mastodon <DIR>',
      'the Mastodon installation whose media to replicate (often /home/mastodon/live)',
    )
    .option('--listen <HOST:PORT>', 'where receivers connect to (default: every address, port 22390)')
    .option('--advertise <HOST:PORT>', 'an address that invitations carry; may be repeated', collectOption)
    .option('--recipient <FILE.asc>', 'a public key to seal dumps to; may be repeated', collectOption)
    .option(
      '--passphrase-file <FILE>',
      'seal with the passphrase in this file, which is then kept on this server',
    )
    .option('--yes', 'ask nothing')
    .option('--json', 'print JSON')
    .action(async (options: InitOptions, command: Command) => {
      await initAgent(options, command);
    });
}

async function initAgent(options: InitOptions, command: Command): Promise<void> {
  const home = agentHome(command);
  const listen = options.listen === undefined ? [] : [parseAddress(options.listen)];
  const advertise = (options.advertise ?? []).map(parseAddress);
  const mastodon = options.mastodon ?? (options.yes === true ? '' : await askForMastodon());
  const folders: MirrorFolderConfig[] = mastodon === '' ? [] : [mastodonMediaFolder(mastodon)];
  const keys = (options.recipient ?? []).map(readKeyFile);
  if (keys.length > 0) await loadRecipients(keys);
  const passphrase = options.passphraseFile === undefined ? null : readPassphrase(options.passphraseFile);
  if (keys.length > 0 && passphrase !== null) {
    throw new CodedError('USAGE', 'dumps are sealed either to recipients or with a passphrase');
  }
  const text = agentConfigText({ listen, advertise, folders });
  const config = parseAgentConfig(text, home.configFile);
  prepareNewHome(home);
  const identity = await createDeviceIdentity(home.directory);
  const directory = new RecipientDirectory(home);
  for (const key of keys) await directory.add(key);
  if (passphrase !== null) directory.setPassphrase(passphrase);
  const recipients = await directory.list();
  // Last: a home without it counts as not initialised.
  writeFileAtomic(home.configFile, text, 0o640);

  if (options.json === true) {
    printJson({
      deviceId: identity.deviceId,
      home: home.directory,
      config: home.configFile,
      folders: folders.map(({ id, kind, path }) => ({ id, kind, path })),
      recipients: recipients.map(({ fingerprint }) => fingerprint),
    });
    return;
  }
  const listening = config.listen.map(formatAddress).join(', ');
  printText(
    `made ${home.directory}`,
    ...folders.map(({ id, path }) => `folder ${id}: ${path}`),
    '',
    'keep on paper:',
    `  device ID  ${identity.deviceId}`,
    `  addresses  ${config.advertise.length > 0 ? config.advertise.map(formatAddress).join(', ') : `this machine, ${listening}`}`,
    ...recipients.map(({ fingerprint }) => `  recipient  ${fingerprint}`),
    ...(recipients.length > 0 ? ['', ...recipientWarnings(recipients)] : []),
    ...(passphrase === null
      ? []
      : [
          '',
          'warning: the passphrase is kept on this server: who breaks into it can read all sealed copies',
        ]),
    '',
    'next:',
    ...(folders.length > 0
      ? []
      : [`  ${agentProgram} folder add ID --kind mirror --path DIR    what to replicate`]),
    `  ${agentProgram} run                  start it (or: systemctl enable --now ${agentProgram})`,
    `  ${agentProgram} invite               then "mastokeep-receiver join INVITATION" on the receiver`,
    `  ${agentProgram} status               see what is replicated`,
  );
}

async function askForMastodon(): Promise<string> {
  return askLine('Directory of the Mastodon installation (empty: add folders later): ');
}

function readPassphrase(file: string): string {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (cause) {
    throw new CodedError('USAGE', `${file} cannot be read: ${systemErrorCode(cause) ?? String(cause)}`, {
      cause,
    });
  }
  if (text === '' || /[\r\n]/.test(text))
    throw new CodedError('USAGE', `${file} does not hold one line with a passphrase`);
  return text;
}
