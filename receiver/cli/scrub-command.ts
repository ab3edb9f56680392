import type { Command } from 'commander';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { interruptedExitCode, takeInterrupts } from '../../shared/cli/run-program.ts';
import type { ReceiverCommands } from '../receiver-commands.ts';
import type { ScrubReport, ScrubStatus } from '../scrub/scrub-report.ts';
import { withReceiver } from './with-receiver.ts';

const progressIntervalMs = 1000;

/** `scrub`: reads what is stored and compares it with what it has to be, now. Exit code 1 where damage is left. */
export function addScrubCommand(program: Command): void {
  program
    .command('scrub')
    .description(
      'read what is stored and repair what is damaged, now; goes on where the scrub in the background stands',
    )
    .option('--all', 'begin anew, so that everything is read')
    .option('--json', 'print JSON')
    .action(async (options: { all?: true; json?: true }, command: Command) => {
      // without the running receiver this process is what has to note how far it came
      const interrupted = Promise.withResolvers<null>();
      takeInterrupts(() => interrupted.resolve(null));
      const report = await withReceiver(command, async (commands) => {
        const endProgress = options.json !== true && process.stderr.isTTY ? showProgress(commands) : () => {};
        try {
          return await Promise.race([commands.scrub({ all: options.all === true }), interrupted.promise]);
        } finally {
          endProgress();
        }
      });
      if (report === null) process.exit(interruptedExitCode);
      if (options.json === true) printJson(report);
      else printText(...formatScrubReport(report));
      process.exitCode = scrubExitCode(report);
    });
}

/** 0: everything was read, and nothing is damaged any more. */
export function scrubExitCode({ damaged, skipped }: Pick<ScrubReport, 'damaged' | 'skipped'>): 0 | 1 {
  return damaged > 0 || skipped ? 1 : 0;
}

/** The report for people. */
export function formatScrubReport(report: ScrubReport): string[] {
  const { damaged, folders, found, readBytes, repaired, skipped } = report;
  const lines: string[] = [];
  for (const { name, damaged, lacksRoom, files, found: was, extras } of folders) {
    lines.push(...list(`${name}: ${damaged} damaged`, files, damaged));
    if (lacksRoom !== null)
      lines.push(`  there is no room to make them whole, which is tried again: ${lacksRoom}`);
    // of very many only the first are named
    const whole = files.length < damaged ? [] : was.filter((what) => !files.includes(what));
    lines.push(...list(`${name}: was damaged and is no more`, whole, whole.length));
    lines.push(...list(`${name}: ${extras.length} that nobody stored, left alone`, extras, extras.length));
  }
  if (skipped) lines.push('not everything could be read: see "mastokeep-receiver status" and the log');
  const nothing = skipped ? 'nothing of that is damaged' : 'nothing is damaged';
  const outcome = damaged === 0 ? nothing : `${damaged} damaged`;
  const news = found === 0 ? '' : `; found ${found}, repaired ${repaired}`;
  return [...lines, `${formatByteSize(readBytes)} read, ${outcome}${news}`];
}

function list(title: string, names: readonly string[], count: number): string[] {
  if (count === 0) return [];
  const more = count > names.length ? [`  and ${count - names.length} more`] : [];
  return [title, ...names.map((name) => `  ${name}`), ...more];
}

/** Writes how far it is on the terminal, until the result is called. */
function showProgress(commands: Pick<ReceiverCommands, 'scrubStatus'>): () => void {
  let ended = false;
  const show = async (): Promise<void> => {
    try {
      const status = await commands.scrubStatus({});
      if (!ended) process.stderr.write(`\r\u001B[K${formatProgress(status)}`);
    } catch {
      // the command itself says what is wrong
      clearInterval(timer);
    }
  };
  const timer = setInterval(() => void show(), progressIntervalMs);
  const clear = (): void => void process.stderr.write('\r\u001B[K');
  // where it is interrupted as well: the shell's prompt comes behind it
  process.once('exit', clear);
  return () => {
    ended = true;
    clearInterval(timer);
    process.off('exit', clear);
    clear();
  };
}

function formatProgress({ readBytes, wholeBytes, damaged, found, repaired }: ScrubStatus): string {
  const share = wholeBytes === 0 ? 100 : Math.min(100, Math.floor((100 * readBytes) / wholeBytes));
  const read = `${share} %, ${formatByteSize(readBytes)} read`;
  return found + damaged === 0 ? read : `${read}, found ${found}, repaired ${repaired}, damaged ${damaged}`;
}
