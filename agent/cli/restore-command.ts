import { Option, type Command } from 'commander';
import { formatError, printJson, printText } from '../../shared/cli/command-output.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { interruptedExitCode, takeInterrupts } from '../../shared/cli/run-program.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { parseTypedDeviceId } from '../../shared/identity/device-id.ts';
import { askSecret } from '../../shared/io/terminal.ts';
import { programVersion } from '../../shared/program-version.ts';
import { defaultAnswerTimeoutMs } from '../../shared/transfer/answer-deadline.ts';
import { agentHome } from './agent-home.ts';
import {
  addRouteOptions,
  assertRoute,
  openReceiverRoute,
  receiverPatienceMs,
  type ReceiverRoute,
} from './receiver-route.ts';
import { describeNextSteps, describeRestore } from './restore-report.ts';
import type { RestoreResult } from '../restore/run-restore.ts';

type RestoreOptions = ReceiverRoute & {
  to?: string;
  folder: string[];
  path: string[];
  at: string;
  dryRun?: true;
  inPlace?: true;
  owner?: 'keep' | 'none';
  key?: string;
  keyPassphraseFile?: string;
  passphraseFile?: string;
  pgRestore?: string;
  jobs?: string;
  scratch?: string;
  json?: true;
};

const failuresShownMax = 20;

/** `restore`: gives back folders from a receiver, dialling it or listening for it; needs no `init`. */
export function addRestoreCommand(program: Command): void {
  addRouteOptions(
    program
      .command('restore')
      .description('give back files from a receiver; run it again to go on after an interruption'),
  )
    .option('--to <DIR>', 'each folder goes to DIR/<folder>/')
    .option('--folder <ID>', 'only this folder; may be repeated', collectOption, [])
    .option(
      '--path <PATTERN>',
      'only what matches, written as in .gitignore; may be repeated',
      collectOption,
      [],
    )
    .option(
      '--at <TIME|POINT>',
      'the state of that moment: ISO 8601, "2 hours ago", "yesterday 14:00", a restore point, or latest',
      'latest',
    )
    .option('--dry-run', 'list what would be restored')
    .option('--in-place', 'replace files that differ; without --to at the configured path of each folder')
    .addOption(
      new Option('--owner <WHICH>', 'keep: owners as recorded (default for root); none: your own').choices([
        'keep',
        'none',
      ]),
    )
    .option('--key <PRIVATE.asc>', 'the private key of sealed folders (default: gpg and its agent are asked)')
    .option('--key-passphrase-file <FILE>', 'the passphrase that protects it')
    .option('--passphrase-file <FILE>', 'the passphrase of folders that are sealed by one')
    .option('--pg-restore <CONNSTRING>', 'make this database from the dump in the one --folder that is named')
    .option('--jobs <N>', 'with --pg-restore: connections at once', '4')
    .option(
      '--scratch <DIR>',
      'with --pg-restore: where the dump lies meanwhile, readable for this user only',
    )
    .option('--json', 'print JSON')
    .action(async (options: RestoreOptions, command: Command) => {
      const result = await (options.pgRestore === undefined
        ? restore(options, command)
        : restoreIntoPostgres(options, options.pgRestore, command));
      const failed = result.folders.flatMap((folder) => folder.failed);
      if (options.json === true) printJson(result);
      else {
        printText(...describeRestore(result));
        printFailures(result);
        // Who takes back single files knows where they belong.
        if (!result.dryRun && options.path.length === 0 && options.inPlace !== true) {
          printText(...describeNextSteps(result, options.pgRestore === undefined ? null : database(result)));
        }
      }
      if (failed.length > 0) {
        const what = failed.every(({ path }) => path === '') ? 'folders' : 'files';
        const many = failed.length === 1 ? 'one' : String(failed.length);
        throw new CodedError('RESTORE_INCOMPLETE', `${many} of the ${what} could not be restored whole`, {
          hint: failed.some(({ path }) => path === '')
            ? 'see what is said of each folder; everything else is in its place'
            : 'everything else is in its place; run the same command again to try these again',
        });
      }
    });
}

function database({ folders: [folder] }: RestoreResult): string {
  return folder?.target ?? '';
}

/** The dump goes to a scratch directory, from there into a database that is made for it, and is removed. */
async function restoreIntoPostgres(
  options: RestoreOptions,
  connection: string,
  command: Command,
): Promise<RestoreResult> {
  const { checkDatabase, restoreDatabase } = await import('../restore/database-restore.ts');
  const { findArchive } = await import('../restore/find-archive.ts');
  const { parsePostgresTarget } = await import('../restore/postgres-target.ts');
  const { makeScratch } = await import('../restore/scratch.ts');
  if (options.folder.length !== 1 || options.to !== undefined || options.inPlace || options.dryRun) {
    throw new CodedError('USAGE', '--pg-restore takes one --folder, and no --to, --in-place or --dry-run');
  }
  const jobs = Number(options.jobs);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64) throw new CodedError('USAGE', '--jobs is 1 to 64');
  const target = parsePostgresTarget(connection);
  await checkDatabase(target);
  const scratch = makeScratch(options.scratch ?? null);
  const removeScratch = (): void => scratch.remove();
  process.once('exit', removeScratch);
  const interrupted = new AbortController();
  try {
    const result = await restore({ ...options, to: scratch.directory, owner: 'none' }, command);
    const archive = findArchive(result);
    takeInterrupts(() => interrupted.abort());
    const note = (line: string): void => void process.stderr.write(`${line}\n`);
    note(`database ${target.database}: the dump is here and whole; pg_restore begins`);
    await restoreDatabase({ note, signal: interrupted.signal }, archive, target, jobs);
    for (const folder of result.folders) folder.target = target.database;
    return result;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    process.stderr.write(formatError(error));
    process.exit(interruptedExitCode);
  } finally {
    removeScratch();
    process.off('exit', removeScratch);
  }
}

async function restore(options: RestoreOptions, command: Command): Promise<RestoreResult> {
  assertRoute(options);
  if (options.to === undefined && options.inPlace !== true && options.dryRun !== true) {
    throw new CodedError(
      'USAGE',
      'where to? give --to DIR, or --in-place to replace what is at the configured paths',
    );
  }
  // Loaded only now: the other commands need nothing of it.
  const { isPointName } = await import('../restore/chosen-point.ts');
  const { parseMoment } = await import('../restore/moment.ts');
  const { createProgressDisplay, silentDisplay } = await import('../restore/progress-display.ts');
  const { runRestore } = await import('../restore/run-restore.ts');
  const { createPathFilter } = await import('../restore/path-filter.ts');
  const { configuredPaths } = await import('../restore/configured-paths.ts');
  const { commandUnsealers } = await import('../restore/command-unsealers.ts');
  const point = isPointName(options.at) ? options.at.trim() : null;
  const at = point === null ? parseMoment(options.at, Date.now()) : null;
  createPathFilter(options.path);
  const agent = options.agent === undefined ? null : parseTypedDeviceId(options.agent);
  const home = agentHome(command);
  const display = options.json === true ? silentDisplay : createProgressDisplay(process.stderr);
  takeInterrupts(() => {
    display.abandon();
    process.exit(interruptedExitCode);
  });
  const keepOwners = options.owner === undefined ? process.getuid?.() === 0 : options.owner === 'keep';
  if (!keepOwners && options.owner === undefined) display.note('owners are not restored: that needs root');
  // A dry run tells what takes no key, unless one is named: nobody is asked for a passphrase.
  const describesOnly =
    options.dryRun === true && options.key === undefined && options.passphraseFile === undefined;
  const paths = options.inPlace === true ? configuredPaths(home) : new Map<string, string>();
  const connection = await openReceiverRoute(options, {
    command,
    json: options.json === true,
    note: (line) => display.note(line),
  });
  try {
    return await runRestore(
      {
        nextChannel: (signal) => connection.nextChannel(signal),
        display,
        unsealers: describesOnly
          ? null
          : commandUnsealers(
              {
                key: options.key ?? null,
                keyPassphrase: options.keyPassphraseFile ?? null,
                passphrase: options.passphraseFile ?? null,
              },
              process.stdin.isTTY && options.json !== true ? askSecret : null,
            ),
        configuredPath: (folder) => paths.get(folder) ?? null,
      },
      {
        to: options.to ?? null,
        folders: options.folder,
        paths: options.path,
        at,
        point,
        dryRun: options.dryRun === true,
        inPlace: options.inPlace === true,
        keepOwners,
        // A beginning is what the receiver completes: it proves nothing about who signed.
        agentId: agent?.whole ?? null,
        programVersion,
        patienceMs: receiverPatienceMs,
        answerTimeoutMs: defaultAnswerTimeoutMs,
      },
    );
  } finally {
    await connection.stop();
  }
}

function printFailures(result: RestoreResult): void {
  for (const folder of result.folders) {
    for (const { path, code, message } of folder.failed.slice(0, failuresShownMax)) {
      process.stderr.write(`${code} ${path === '' ? folder.id : `${folder.id}/${path}`}: ${message}\n`);
    }
    const more = folder.failed.length - failuresShownMax;
    if (more > 0) process.stderr.write(`… and ${more} more; --json names all\n`);
  }
}
