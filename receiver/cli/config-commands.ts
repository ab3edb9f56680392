import type { Command } from 'commander';
import { stringify } from 'yaml';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { formatDuration } from '../../shared/cli/duration.ts';
import { formatAddress } from '../../shared/link/address.ts';
import { readReceiverConfig, type ReceiverConfig } from '../config.ts';
import { initialisedReceiverHome } from './receiver-home.ts';

/** `config check`, `config show`. */
export function addConfigCommands(program: Command): void {
  const config = program.command('config').description('the configuration file');
  config
    .command('check')
    .description('say whether the configuration makes sense')
    .option('--json', 'print JSON')
    .action((options: { json?: true }, command: Command) => {
      const { configFile } = initialisedReceiverHome(command);
      readReceiverConfig(configFile);
      if (options.json === true) printJson({ ok: true, file: configFile });
      else printText(`${configFile} is good`);
    });
  config
    .command('show')
    .description('print the configuration with all defaults')
    .option('--json', 'print JSON')
    .action((options: { json?: true }, command: Command) => {
      const shown = shownConfig(readReceiverConfig(initialisedReceiverHome(command).configFile));
      if (options.json === true) printJson(shown);
      else printText(stringify(shown));
    });
}

/** As one would write it into the file. */
function shownConfig(config: ReceiverConfig): object {
  return {
    data: config.data,
    listen: config.listen.length === 0 ? 'off' : config.listen.map(formatAddress),
    advertise: config.advertise.map(formatAddress),
    freeSpaceFloor: `${config.freeSpaceFloor * 100}%`,
    versions: { keep: config.versions.keep, minAge: formatDuration(config.versions.minAgeMs) },
    quota: config.quotaBytes ?? 'none',
    sealedReserve: `${config.sealedReserve * 100}%`,
    agents: Object.fromEntries(
      [...config.quotas].map(([deviceId, quota]) => [deviceId, { quota: quota ?? 'none' }]),
    ),
  };
}
