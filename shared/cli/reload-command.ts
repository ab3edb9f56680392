import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { CodedError, isCoded } from '../errors/coded-error.ts';
import { findProgram } from '../io/control-client.ts';
import type { Home } from '../io/home.ts';
import { printJson, printText } from './command-output.ts';
import { withRunningProgram, type ProgramAccess } from './with-program.ts';

/** What a program can be asked so that it begins anew. */
type ReloadCommands = {
  about(input: object): Promise<{ life: number }>;
  /** @throws CodedError CONFIG_INVALID; then nothing has changed */
  reload(input: object): Promise<object>;
};

type Reload<Commands> = { access: ProgramAccess<Commands>; home: (command: Command) => Home };

const lookAgainMs = 100;

/** `reload`: the running program takes the configuration as it is now; links come back by themselves. */
export function addReloadCommand<Commands extends ReloadCommands>(
  program: Command,
  { access, home }: Reload<Commands>,
): void {
  program
    .command('reload')
    .description('let the running program take the configuration as it is now; links come back by themselves')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const ownHome = home(command);
      await withRunningProgram(access, ownHome, async (commands) => {
        const { life } = await commands.about({});
        await commands.reload({});
        while (!(await hasBegunAnew(access, ownHome, life))) await delay(lookAgainMs);
      });
      if (options.json === true) printJson({ reloaded: true, file: ownHome.configFile });
      else printText(`${ownHome.configFile} is in effect`);
    });
}

/** @throws CodedError NOT_RUNNING when the program has ended */
async function hasBegunAnew<Commands extends ReloadCommands>(
  { program, remote }: ProgramAccess<Commands>,
  home: Home,
  lifeBefore: number,
): Promise<boolean> {
  try {
    const lock = await findProgram(home, program);
    if (lock === null) return (await remote(home).about({})).life !== lifeBefore;
    lock.release();
  } catch (error) {
    // It finishes what it was at, or has just stopped answering to begin anew.
    if (isCoded(error, 'ALREADY_RUNNING') || isCoded(error, 'NOT_RUNNING')) return false;
    throw error;
  }
  throw new CodedError('NOT_RUNNING', `${program} could not start again with ${home.configFile}`, {
    hint: 'its log says why',
  });
}
