import type { Command } from 'commander';
import { addConfigCommands } from '../../shared/cli/config-commands.ts';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { formatDuration } from '../../shared/cli/duration.ts';
import { formatAddress } from '../../shared/link/address.ts';
import { maskPassword, readAgentConfig, type AgentConfig } from '../config.ts';
import { describeOverlaps } from '../folder-overlaps.ts';
import { shownUpload } from '../upload/upload-config.ts';
import { initialisedAgentHome } from './agent-home.ts';

/** `config check`, `config show`. */
export function addAgentConfigCommands(program: Command): void {
  addConfigCommands(program, {
    home: initialisedAgentHome,
    read: readAgentConfig,
    shown: shownConfig,
    warnings: ({ folders }) => describeOverlaps(folders),
  });
}

/** As one would write it into the file, but for passwords. */
function shownConfig(config: AgentConfig): object {
  return {
    listen: config.listen.length === 0 ? 'off' : config.listen.map(formatAddress),
    advertise: config.advertise.map(formatAddress),
    scan: {
      fullEvery: formatDuration(config.scan.fullEveryMs),
      recentEvery: formatDuration(config.scan.recentEveryMs),
      entriesPerSecond: config.scan.entriesPerSecond ?? 'off',
    },
    watch: config.watch,
    spool: { bytesMax: config.spool.bytesMax === null ? 'auto' : formatByteSize(config.spool.bytesMax) },
    upload: shownUpload(config.upload),
    folders: config.folders.map(maskPassword),
  };
}
