import type { Command } from 'commander';
import type { Home } from '../io/home.ts';
import { yamlLibrary } from '../io/yaml-library.ts';
import { printJson, printText } from './command-output.ts';

/** The configuration of one program, for the commands about it. */
export type ConfigAccess<Config> = {
  /** @throws CodedError HOME_INVALID */
  home: (command: Command) => Home;
  /** @throws CodedError CONFIG_INVALID */
  read: (home: Home) => Config;
  /** As one would write it into the file, without secrets. */
  shown: (config: Config) => object;
  /** What makes sense and is perhaps not meant; a line each, for people. */
  warnings: (config: Config) => string[];
};

/** `config check`, `config show`. */
export function addConfigCommands<Config>(program: Command, access: ConfigAccess<Config>): void {
  const config = program.command('config').description('the configuration file');
  config
    .command('check')
    .description('say whether the configuration makes sense')
    .option('--json', 'print JSON')
    .action((options: { json?: true }, command: Command) => {
      const home = access.home(command);
      const { configFile } = home;
      const warnings = access.warnings(access.read(home));
      if (options.json === true) printJson({ ok: true, file: configFile, warnings });
      else printText(`${configFile} is good`, ...warnings.map((warning) => `warning: ${warning}`));
    });
  config
    .command('show')
    .description('print the configuration with all defaults')
    .option('--json', 'print JSON')
    .action((options: { json?: true }, command: Command) => {
      const shown = access.shown(access.read(access.home(command)));
      if (options.json === true) printJson(shown);
      else printText(yamlLibrary().stringify(shown));
    });
}
