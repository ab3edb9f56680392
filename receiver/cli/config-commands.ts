import type { Command } from 'commander';
import { addConfigCommands } from '../../shared/cli/config-commands.ts';
import { formatDuration } from '../../shared/cli/duration.ts';
import { formatAddress } from '../../shared/link/address.ts';
import { readReceiverConfig, type ReceiverConfig } from '../config.ts';
import { initialisedReceiverHome } from './receiver-home.ts';

/** `config check`, `config show`. */
export function addReceiverConfigCommands(program: Command): void {
  addConfigCommands(program, {
    home: initialisedReceiverHome,
    read: ({ configFile }) => readReceiverConfig(configFile),
    shown: shownConfig,
    warnings: () => [],
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
