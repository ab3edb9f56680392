import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { prepareNewHome } from '../../shared/io/home.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { askLine } from '../../shared/io/terminal.ts';
import { formatAddress, parseAddress } from '../../shared/link/address.ts';
import { agentConfigText, parseAgentConfig, type FolderConfig } from '../config.ts';
import { mastodonMediaFolder } from '../mastodon/media-folder.ts';
import { agentHome, agentProgram } from './agent-home.ts';

type InitOptions = { mastodon?: string; listen?: string; advertise?: string[]; yes?: true; json?: true };

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
  const folders: FolderConfig[] = mastodon === '' ? [] : [mastodonMediaFolder(mastodon)];
  const text = agentConfigText({ listen, advertise, folders });
  const config = parseAgentConfig(text, home.configFile);
  prepareNewHome(home);
  const identity = await createDeviceIdentity(home.directory);
  // Last: a home without it counts as not initialised.
  writeFileAtomic(home.configFile, text, 0o640);

  if (options.json === true) {
    printJson({
      deviceId: identity.deviceId,
      home: home.directory,
      config: home.configFile,
      folders: config.folders.map(({ id, kind, path }) => ({ id, kind, path })),
    });
    return;
  }
  const listening = config.listen.map(formatAddress).join(', ');
  printText(
    `made ${home.directory}`,
    ...config.folders.map(({ id, path }) => `folder ${id}: ${path}`),
    '',
    'keep on paper:',
    `  device ID  ${identity.deviceId}`,
    `  addresses  ${config.advertise.length > 0 ? config.advertise.map(formatAddress).join(', ') : `this machine, ${listening}`}`,
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
