import type { Home } from '../io/home.ts';
import type { ProgramHome } from './program-home.ts';

/** What to do after `init`: commands of the program as they are typed for this home, each with what it is for. */
export function formatNextSteps(
  { program, defaultHome }: ProgramHome,
  home: Home,
  steps: readonly (readonly [command: string, why: string])[],
): string[] {
  const start = home.directory === defaultHome ? program : `${program} --home ${shellWord(home.directory)}`;
  const widest = Math.max(...steps.map(([command]) => command.length));
  return ['next:', ...steps.map(([command, why]) => `  ${start} ${command.padEnd(widest)}  ${why}`)];
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
