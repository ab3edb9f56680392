import type { Command } from 'commander';
import { addConfigCommands } from '../../shared/cli/config-commands.ts';
import { formatDuration } from '../../shared/cli/duration.ts';
import { formatAddress } from '../../shared/link/address.ts';
import { readReceiverConfig, type ReceiverConfig } from '../config.ts';
import { shownGuards } from '../guard/guards-value.ts';
import type { VersionRetention } from '../retention/version-retention.ts';
import { initialisedReceiverHome } from './receiver-home.ts';

const dayMs = 86_400_000;

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
    points: shownPoints(config.points),
    guards: shownGuards(config.guards),
    versions: shownVersions(config.versions),
    quota: config.quotaBytes ?? 'none',
    sealedReserve: `${config.sealedReserve * 100}%`,
    agents: shownAgents(config),
  };
}

/** The floor is `versions.minAge`. */
function shownPoints(points: ReceiverConfig['points']): object {
  const { hourlyDays, dailyDays, weeklyWeeks, monthlyMonths, newestComplete } = points;
  return { hourlyDays, dailyDays, weeklyWeeks, monthlyMonths, newestComplete };
}

function shownVersions(versions: VersionRetention): object {
  const duration = (days: number): string => (days === 0 ? 'never' : formatDuration(days * dayMs));
  const common = { kind: versions.kind, minAge: formatDuration(versions.floorDays * dayMs) };
  switch (versions.kind) {
    case 'points':
      return common;
    case 'simple':
      return { ...common, keep: versions.keep, cleanout: duration(versions.cleanoutDays) };
    case 'trashcan':
      return { ...common, cleanout: duration(versions.cleanoutDays) };
    case 'staggered':
      return { ...common, maxAge: duration(versions.maxAgeDays) };
  }
}

function shownAgents({ quotas, folderVersions }: ReceiverConfig): object {
  const deviceIds = new Set([...quotas.keys(), ...folderVersions.keys()]);
  return Object.fromEntries(
    [...deviceIds].map((deviceId) => {
      const quota = quotas.get(deviceId);
      const folders = [...(folderVersions.get(deviceId) ?? [])].map(([id, versions]) => [
        id,
        { versions: shownVersions(versions) },
      ]);
      return [
        deviceId,
        {
          ...(quota === undefined ? {} : { quota: quota ?? 'none' }),
          ...(folders.length === 0 ? {} : { folders: Object.fromEntries(folders) as object }),
        },
      ];
    }),
  );
}
