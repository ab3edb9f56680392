import fs from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { formatNextSteps } from '../../shared/cli/next-steps.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { giveToHomeOwner, requireNewHome, type Home } from '../../shared/io/home.ts';
import { makeNewHome } from '../../shared/io/make-new-home.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { askLine } from '../../shared/io/terminal.ts';
import { formatAddress, parseAddress } from '../../shared/link/address.ts';
import { parseReceiverConfig, receiverConfigText } from '../config.ts';
import { writeRestoreText } from '../restore-text.ts';
import { probeFilesystem } from '../store/probe-filesystem.ts';
import { receiverHome, receiverProgram, receiverProgramHome } from './receiver-home.ts';

type InitOptions = { data?: string; listen?: string; advertise?: string[]; yes?: true; json?: true };

/** `init`: makes a home with an identity and a configuration; never changes one that exists. */
export function addInitCommand(program: Command): void {
  program
    .command('init')
    .description('make a home: identity and configuration')
    .option('--data <DIR>', 'the directory that is to hold all copies')
    .option('--listen <HOST:PORT>', 'listen for connections (default: only connect to others)')
    .option('--advertise <HOST:PORT>', 'an address that invitations carry; may be repeated', collectOption)
    .option('--yes', 'ask nothing')
    .option('--json', 'print JSON')
    .action(async (options: InitOptions, command: Command) => {
      await initReceiver(options, command);
    });
}

async function initReceiver(options: InitOptions, command: Command): Promise<void> {
  const home = receiverHome(command);
  requireNewHome(home);
  const listen = options.listen === undefined ? [] : [parseAddress(options.listen)];
  const advertise = (options.advertise ?? []).map(parseAddress);
  const typed = options.data ?? (options.yes === true ? '' : await askLine('Directory for the copies: '));
  if (typed === '') {
    throw new CodedError('USAGE', 'init needs --data DIR, the directory that is to hold all copies');
  }
  const data = path.resolve(typed);
  const text = receiverConfigText({ data, listen, advertise });
  const config = parseReceiverConfig(text, home.configFile);
  const identity = await makeNewHome(home, receiverProgram, async () => {
    await prepareData(home, data);
    const made = await createDeviceIdentity(home.directory);
    // Last: a home without it counts as not initialised.
    writeFileAtomic(home.configFile, text, 0o640);
    return made;
  });

  if (options.json === true) {
    printJson({ deviceId: identity.deviceId, home: home.directory, config: home.configFile, data });
    return;
  }
  const listening = config.listen.map(formatAddress).join(', ');
  printText(
    `made ${home.directory}; copies go to ${data}`,
    '',
    'keep on paper:',
    `  device ID  ${identity.deviceId}`,
    `  addresses  ${listening === '' ? 'none, this receiver connects to others' : listening}`,
    '',
    ...formatNextSteps(receiverProgramHome, home, [
      ['run', `start it (or: systemctl enable --now ${receiverProgram})`],
      listening === ''
        ? ['join INVITATION', 'with what "mastokeep-agent invite" prints on the server']
        : ['invite', 'then "mastokeep-agent join INVITATION" on the server'],
      ['status', 'see what is held'],
    ]),
  );
}

/** @throws CodedError FILESYSTEM_UNSUITABLE, CONFIG_INVALID */
async function prepareData(home: Home, data: string): Promise<void> {
  try {
    const isNew = fs.mkdirSync(data, { recursive: true, mode: 0o700 }) !== undefined;
    if (isNew) giveToHomeOwner(home, data);
  } catch (error) {
    throw new CodedError(
      'CONFIG_INVALID',
      `${data} cannot be made: ${systemErrorCode(error) ?? String(error)}`,
      {
        hint: 'make it first and give it to the user of the program',
        cause: error,
      },
    );
  }
  await probeFilesystem({ disk: nodeDisk }, data);
  writeRestoreText(data);
}
