import { Command, CommanderError } from 'commander';
import { CodedError } from '../errors/coded-error.ts';
import { programVersion } from '../program-version.ts';
import { formatError } from './command-output.ts';

/** The exit code of a command that the user interrupted. */
export const interruptedExitCode = 130;

let interrupt: () => void = () => process.exit(interruptedExitCode);

/**
 * Gives SIGINT and SIGTERM to a command that has something to finish; until then they end the process with 130.
 * The second signal ends it at once with 130 in any case.
 */
export function takeInterrupts(listener: () => void): void {
  let count = 0;
  interrupt = () => {
    count += 1;
    if (count > 1) process.exit(interruptedExitCode);
    listener();
  };
}

/** An empty program whose mistakes in usage are CodedErrors; `--home` is understood before and after the command. */
export function createProgram(name: string, description: string, defaultHome: string): Command {
  return new Command(name)
    .description(description)
    .version(programVersion, '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .option(
      '--home <DIR>',
      `where identity, configuration and database are (default: $MASTOKEEP_HOME or ${defaultHome})`,
    )
    .exitOverride()
    .configureOutput({ outputError: () => {} });
}

/**
 * Runs the command that the arguments name and ends the process: 0 done, 1 failed, 2 usage or config, 3 in part,
 * 4 timed out, 130 interrupted. Errors go to stderr.
 */
export async function runProgram(program: Command, argv: readonly string[]): Promise<void> {
  process.on('SIGINT', () => interrupt());
  process.on('SIGTERM', () => interrupt());
  let exitCode: number | null = null;
  // Whoever reads our output may stop early (`… | head`): once the command is through, its exit code holds all the same.
  process.stdout.on('error', () => process.exit(exitCode ?? 1));
  process.stderr.on('error', () => {});
  try {
    await program.parseAsync(argv);
    exitCode = Number(process.exitCode ?? 0);
  } catch (error) {
    exitCode = endWith(error);
  }
  interrupt = () => process.exit(interruptedExitCode);
  for (const stream of [process.stdout, process.stderr]) await allTaken(stream);
  process.exit(exitCode);
}

/** Resolves when the reader has all that was written: a pipe takes some 64 KiB at a time, and the rest ends with the process. */
async function allTaken(stream: NodeJS.WriteStream): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.write('', () => resolve());
  });
}

function endWith(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code === 'commander.help') return 2;
    const usage = new CodedError('USAGE', error.message.replace(/^error: /, ''), {
      hint: 'see --help, also of a single command',
    });
    process.stderr.write(formatError(usage));
    return usage.exitCode;
  }
  process.stderr.write(formatError(error));
  return error instanceof CodedError ? error.exitCode : 1;
}
