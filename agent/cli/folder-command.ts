import path from 'node:path';
import { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { parseFolderId } from '../../shared/records/folder-id.ts';
import { maskPassword, type FolderConfig, type SealedSourceConfig } from '../config.ts';
import { parsePostgresConnection } from '../postgres/postgres-connection.ts';
import { defaultSchedule } from '../source/schedule.ts';
import { RecipientDirectory } from '../seal/recipient-directory.ts';
import { readSealingState } from '../seal/sealing-state.ts';
import { statTypedPath } from '../stat-typed-path.ts';
import { initialisedAgentHome } from './agent-home.ts';
import { withAgent } from './with-agent.ts';

type AddOptions = {
  kind: string;
  path?: string[];
  ignore?: string[];
  postgres?: string;
  postgresExec?: string;
  command?: string;
  schedule?: string;
  json?: true;
};

/** `folder add`: adds to the configuration; the rest of the file stays as it is. */
export function addFolderCommand(program: Command): void {
  program
    .command('folder')
    .description('what is replicated')
    .command('add')
    .description('add a folder to the configuration')
    .argument('<ID>', 'a name for it: lower-case letters, digits, ".", "_" and "-"')
    .requiredOption(
      '--kind <KIND>',
      'mirror: a tree of files, kept as plain files with their versions; sealed: dumps and secrets, encrypted here',
    )
    .option(
      '--path <DIR>',
      'the directory; of a sealed folder a file or tree, may be repeated',
      collectOption,
    )
    .option(
      '--postgres <CONNSTRING>',
      'sealed: dump this PostgreSQL database ("" takes what PGHOST and so on say)',
    )
    .option('--postgres-exec <PREFIX>', 'words before pg_dump, such as "docker compose -f FILE exec -T db"')
    .option('--command <CMD>', 'sealed: keep what this shell command prints')
    .option('--schedule <CRON>', 'sealed: when to dump; "40 * * * *", hourly at :40, where not given')
    .option(
      '--ignore <PATTERN>',
      'what to leave out, written as in .gitignore; may be repeated',
      collectOption,
    )
    .option('--json', 'print JSON')
    .action(async (id: string, options: AddOptions, command: Command) => {
      const folder = folderOf(id, options);
      const home = initialisedAgentHome(command);
      const { added, sealing } = await withAgent(command, async (commands) => ({
        added: await commands.addFolder({ folder }),
        sealing: await readSealingState(new RecipientDirectory(home)),
      }));
      if (options.json === true) {
        printJson({ ...maskPassword(folder), active: added.active, warnings: added.warnings });
        return;
      }
      printText(
        folder.kind === 'mirror'
          ? `folder ${folder.id}: ${folder.path}`
          : `folder ${folder.id}: sealed, dumped at "${folder.schedule}"`,
        added.active ? 'it is being replicated' : 'it is replicated from the next start of the program on',
        ...(holdsPassword(folder)
          ? [
              `warning: the password of the database now lies in ${home.configFile}; a passfile or a service file is the better place`,
            ]
          : []),
        ...added.warnings.map((warning) => `warning: ${warning}`),
        ...(folder.kind === 'sealed' && sealing.mode === 'none'
          ? ['warning: there is no key to seal to yet: mastokeep-agent recipient add FILE.asc']
          : []),
      );
    });
}

function folderOf(idText: string, options: AddOptions): FolderConfig {
  const id = parseFolderId(idText);
  if (options.kind === 'sealed') {
    const { schedule = defaultSchedule } = options;
    return { id, kind: 'sealed', source: sourceOf(options), schedule };
  }
  if (options.kind !== 'mirror') {
    throw new CodedError('USAGE', `"${options.kind}" is not a kind of folder`, {
      hint: 'use --kind mirror or --kind sealed',
    });
  }
  for (const name of ['postgres', 'postgresExec', 'command', 'schedule'] as const) {
    if (options[name] === undefined) continue;
    throw new CodedError('USAGE', 'a mirror folder has a --path and perhaps --ignore, and nothing else', {
      hint: 'use --kind sealed for dumps',
    });
  }
  const [directory, ...more] = options.path ?? [];
  if (directory === undefined || more.length > 0) {
    throw new CodedError('USAGE', 'a mirror folder has exactly one --path', {
      hint: 'add a folder for each directory',
    });
  }
  const absolute = path.resolve(directory);
  if (statTypedPath(absolute)?.isDirectory() !== true) {
    throw new CodedError('CONFIG_INVALID', `${absolute} is not a directory`, {
      hint: 'make or mount it first, so that an empty one is not taken for it',
    });
  }
  return { id, kind: 'mirror', path: absolute, ignore: options.ignore ?? [] };
}

function sourceOf({ path: paths, ignore, postgres, postgresExec, command }: AddOptions): SealedSourceConfig {
  const isPostgres = postgres !== undefined || postgresExec !== undefined;
  const given = [isPostgres, paths !== undefined, command !== undefined].filter(Boolean).length;
  if (given !== 1 || (ignore !== undefined && paths === undefined)) {
    throw new CodedError('USAGE', 'a sealed folder has exactly one source', {
      hint: 'use --postgres (perhaps with --postgres-exec), --path (perhaps with --ignore), or --command',
    });
  }
  if (isPostgres) {
    const connection = postgres === undefined || postgres === '' ? null : postgres;
    return { postgres: { connection, exec: postgresExec ?? null } };
  }
  if (command !== undefined) return { command };
  const absolute = (paths ?? []).map((file) => path.resolve(file));
  const lost = absolute.find((file) => statTypedPath(file) === null);
  if (lost !== undefined) {
    throw new CodedError('CONFIG_INVALID', `${lost} does not exist`, {
      hint: 'name files and directories that exist',
    });
  }
  return { paths: absolute, ignore: ignore ?? [] };
}

function holdsPassword(folder: FolderConfig): boolean {
  return folder.kind === 'sealed' && 'postgres' in folder.source
    ? parsePostgresConnection(folder.source.postgres.connection).password !== null
    : false;
}
