import { InvalidArgumentError, type Command } from 'commander';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { describeFuture, parseDuration } from '../../shared/cli/duration.ts';
import { formatTable } from '../../shared/cli/table.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { ScanSummary } from '../agent-commands.ts';
import { showWaitProgress } from './wait-progress.ts';
import { parseSeconds } from './parse-seconds.ts';
import { withAgent, withRunningAgent } from './with-agent.ts';

const progressIntervalMs = 2000;

type WaitOptions = { copies: number; timeout: number; json?: true };

/** `scan`, `wait`, `accept`, `pause`, `resume`. */
export function addScanCommands(program: Command): void {
  addScanCommand(program);
  addWaitCommand(program);
  addAcceptCommand(program);
  addPauseCommands(program);
}

function addScanCommand(program: Command): void {
  program
    .command('scan')
    .description('compare everything now; returns when it is done')
    .argument('[FOLDER]', 'only this folder')
    .option('--json', 'print JSON')
    .action(async (folder: string | undefined, options: { json?: true }, command: Command) => {
      const scanned = await withRunningAgent(command, async (commands) =>
        commands.scan({ folder: folder ?? null }),
      );
      if (options.json === true) printJson(scanned);
      else printText(formatScans(scanned.folders));
    });
}

function addWaitCommand(program: Command): void {
  program
    .command('wait')
    .description(
      'compare everything now, and wait until all that was found and every sealed version is durable on receivers',
    )
    .option('--copies <N>', 'on how many receivers', parseCount, 1)
    .option('--timeout <SECONDS>', 'how long to wait at most', parseSeconds, 3600)
    .option('--json', 'print JSON')
    .action(async (options: WaitOptions, command: Command) => {
      const done = await withRunningAgent(command, async (commands) => {
        const endProgress =
          options.json !== true && process.stderr.isTTY
            ? showWaitProgress(
                {
                  status: async () => commands.status({}),
                  write: (line) => process.stderr.write(line),
                },
                { intervalMs: progressIntervalMs },
              )
            : () => {};
        try {
          return await commands.wait({ copies: options.copies, timeoutMs: options.timeout * 1000 });
        } finally {
          endProgress();
        }
      });
      if (options.json === true) printJson(done);
      else
        printText(
          ...(done.folders.length === 0 ? [] : [formatScans(done.folders)]),
          `durable on ${done.copies} receiver${done.copies === 1 ? '' : 's'}`,
        );
    });
}

function addAcceptCommand(program: Command): void {
  program
    .command('accept')
    .description('go on with a folder that stopped: its source is really meant to look like this')
    .argument('<FOLDER>')
    .option('--json', 'print JSON')
    .action(async (folder: string, options: { json?: true }, command: Command) => {
      const accepted = await withRunningAgent(command, async (commands) => commands.accept({ folder }));
      if (options.json === true) printJson(accepted);
      else if (accepted.accepted) printText(`folder ${accepted.id} goes on`);
      else printText(`nothing to accept: folder ${accepted.id} is not stopped`);
    });
}

function addPauseCommands(program: Command): void {
  program
    .command('pause')
    .description('no scans and no watching until "resume", or for a time; also over restarts')
    .option('--for <DURATION>', 'such as 30m or 6h')
    .option('--json', 'print JSON')
    .action(async (options: { for?: string; json?: true }, command: Command) => {
      const durationMs = options.for === undefined ? null : parseDuration(options.for);
      if (durationMs === 0)
        throw new CodedError('USAGE', 'a pause of no time is none', { hint: 'use "resume" to end one' });
      const paused = await withAgent(command, async (commands) => commands.pause({ durationMs }));
      if (options.json === true) printJson(paused);
      else if (paused.pausedUntil === null) printText('paused until "resume"');
      else printText(`paused, goes on ${describeFuture(Date.parse(paused.pausedUntil), Date.now())}`);
    });
  program
    .command('resume')
    .description('end a pause')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const resumed = await withAgent(command, async (commands) => commands.resume({}));
      if (options.json === true) printJson(resumed);
      else printText(resumed.wasPaused ? 'going on' : 'it was not paused');
    });
}

function formatScans(folders: readonly ScanSummary[]): string {
  if (folders.length === 0)
    return 'there is no mirror folder to compare; sealed folders are dumped: mastokeep-agent dump';
  return formatTable(
    ['FOLDER', 'FILES', 'SIZE', 'UNREADABLE'],
    folders.map((folder) => [
      folder.id,
      String(folder.files),
      formatByteSize(folder.bytes),
      String(folder.unreadable),
    ]),
  );
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('it must be 1 or more.');
  return count;
}
