import type { Command } from 'commander';
import { homeAt, requireInitialised, type Home } from '../io/home.ts';

/** Which program it is, and where its home is when nobody names one. */
export type ProgramHome = { program: string; configName: string; defaultHome: string };

/** The home that the command line or the environment names; it need not exist. */
export function homeOf(command: Command, { configName, defaultHome }: ProgramHome): Home {
  const { home } = command.optsWithGlobals<{ home?: string }>();
  return homeAt(home ?? process.env['MASTOKEEP_HOME'] ?? defaultHome, configName);
}

/** @throws CodedError HOME_INVALID when `init` never ran there */
export function initialisedHomeOf(command: Command, programHome: ProgramHome): Home {
  const home = homeOf(command, programHome);
  requireInitialised(home, programHome.program);
  return home;
}
