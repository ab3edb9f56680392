import type { Command } from 'commander';
import { stringify } from 'yaml';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { formatDuration } from '../../shared/cli/duration.ts';
import { formatAddress } from '../../shared/link/address.ts';
import { readAgentConfig, type AgentConfig } from '../config.ts';
import { initialisedAgentHome } from './agent-home.ts';

/** `config check`, `config show`. */
export function addConfigCommands(program: Command): void {
  const config = program.command('config').description('the configuration file');
  config
    .command('check')
    .description('say whether the configuration makes sense')
    .option('--json', 'print JSON')
    .action((options: { json?: true }, command: Command) => {
      const { configFile } = initialisedAgentHome(command);
      readAgentConfig(configFile);
      if (options.json === true) printJson({ ok: true, file: configFile });
      else printText(`${configFile} is good`);
    });
  config
    .command('show')
    .description('print the configuration with all defaults')
    .option('--json', 'print JSON')
    .action((options: { json?: true }, command: Command) => {
      const shown = shownConfig(readAgentConfig(initialisedAgentHome(command).configFile));
      if (options.json === true) printJson(shown);
      else printText(stringify(shown));
    });
}

/** As one would write it into the file. */
function shownConfig(config: AgentConfig): object {
  return {
    listen: config.listen.length === 0 ? 'off' : config.listen.map(formatAddress),
    advertise: config.advertise.map(formatAddress),
    scan: {
      fullEvery: formatDuration(config.scan.fullEveryMs),
      recentEvery: formatDuration(config.scan.recentEveryMs),
    },
    watch: config.watch,
    spool: { bytesMax: config.spool.bytesMax === null ? 'auto' : formatByteSize(config.spool.bytesMax) },
    folders: config.folders,
  };
}
