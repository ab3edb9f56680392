import path from 'node:path';
import type { YAMLSeq } from 'yaml';
import { z } from 'zod';
import { addressListValue, byteSizeValue, durationValue } from '../shared/cli/config-value.ts';
import { CodedError } from '../shared/errors/coded-error.ts';
import { parseConfig, readConfigText } from '../shared/io/config-file.ts';
import { yamlLibrary } from '../shared/io/yaml-library.ts';
import type { Home } from '../shared/io/home.ts';
import { defaultPort, formatAddress, type Address } from '../shared/link/address.ts';
import { limits } from '../shared/protocol/limits.ts';
import { folderIdPattern } from '../shared/records/folder-id.ts';
import { assertFolderOutsideHome } from './assert-folder-outside-home.ts';
import { maskConnectionPassword, parsePostgresConnection } from './postgres/postgres-connection.ts';
import { defaultSchedule, parseSchedule } from './source/schedule.ts';
import { parseShellWords } from './source/shell-words.ts';
import { rateMin, uploadSchema } from './upload/upload-config.ts';
import type { UploadConfig } from './upload/upload-schedule.ts';

/** A mirror folder: the tree at `path` (absolute) without what `ignore` (gitignore syntax) matches. */
export type MirrorFolderConfig = { id: string; kind: 'mirror'; path: string; ignore: string[] };

/**
 * Where the content of a sealed folder comes from. `connection` as libpq takes it, null for its environment variables;
 * `exec`: words put in front of pg_dump and psql. `paths`: absolute. `command`: for a shell.
 */
export type SealedSourceConfig =
  | { postgres: { connection: string | null; exec: string | null } }
  | { paths: string[]; ignore: string[] }
  | { command: string };

/** A sealed folder: a version of its source at every moment of `schedule`, a cron expression. */
export type SealedFolderConfig = { id: string; kind: 'sealed'; source: SealedSourceConfig; schedule: string };

export type FolderConfig = MirrorFolderConfig | SealedFolderConfig;

/** `agent.yaml` with every default filled in; `reload` makes changes effective. */
export type AgentConfig = {
  listen: Address[];
  /** What invitations carry; empty: the machine's own addresses. */
  advertise: Address[];
  /** `entriesPerSecond`: files and directories that a full scan looks at; null for as many as it can. */
  scan: { fullEveryMs: number; recentEveryMs: number; entriesPerSecond: number | null };
  watch: { directoriesMax: number };
  /** Bytes that may wait for receivers; null: 10 GiB, or a fifth of the free disk where that is less. */
  spool: { bytesMax: number | null };
  upload: UploadConfig;
  folders: FolderConfig[];
};

const anyAddress: Address = { host: '::', port: defaultPort };
const hourMs = 3_600_000;
const minuteMs = 60_000;

/** A size, or `auto`. */
const spoolSizeValue = z.preprocess((value) => (value === 'auto' ? null : value), byteSizeValue.nullable());

const entriesError = 'must be a number of files and directories, 10 or more, or off';
/** A number, or `off`. */
const entriesValue = z.preprocess(
  (value) => (value === 'off' || value === false ? null : value),
  z.int({ error: entriesError }).min(10, { error: entriesError }).nullable(),
);

const idField = z.string().regex(folderIdPattern, {
  error:
    'a folder id has lower-case letters, digits, ".", "_" and "-", at most 64, and is not "points" or "agent.pem"',
});
const absolutePath = (error: string) =>
  z.string({ error }).refine((value) => path.isAbsolute(value), { error: 'must be an absolute path' });
const ignoreField = z.array(z.string(), { error: 'must be a list of patterns' }).default([]);

const mirrorFolderSchema = z.strictObject({
  id: idField,
  kind: z.literal('mirror'),
  path: absolutePath('a mirror folder needs the path of a directory'),
  ignore: ignoreField,
});

const postgresSchema = z.preprocess(
  (value) => (typeof value === 'string' || value === null ? { connection: value } : value),
  z
    .strictObject({
      connection: z.string().nullable().default(null),
      exec: z.string().min(1).nullable().default(null),
    })
    .superRefine(({ connection, exec }, context) => {
      reportProblem(context, () => parsePostgresConnection(connection));
      if (exec !== null) reportProblem(context, () => void parseShellWords(exec));
    }),
);

const sourceError =
  'a sealed folder needs a source with one of postgres, paths (perhaps with ignore) or command';
const sourceSchema = z.union(
  [
    z.strictObject({ postgres: postgresSchema }),
    z.strictObject({ paths: z.array(absolutePath('must be a path')).min(1).max(1000), ignore: ignoreField }),
    z.strictObject({ command: z.string().min(1) }),
  ],
  { error: sourceError },
);

const sealedFolderSchema = z.strictObject({
  id: idField,
  kind: z.literal('sealed'),
  source: sourceSchema,
  schedule: z
    .string({ error: 'must be a cron expression' })
    .superRefine((value, context) => reportProblem(context, () => void parseSchedule(value)))
    .default(defaultSchedule),
});

export const folderSchema: z.ZodType<FolderConfig> = z.discriminatedUnion(
  'kind',
  [mirrorFolderSchema, sealedFolderSchema],
  {
    error: (issue) =>
      issue.code === 'invalid_union'
        ? 'must be mirror or sealed'
        : 'a folder has id, kind, and a path or a source',
  },
);

/** A CodedError of `check` becomes a problem of that place in the file. */
function reportProblem(
  context: { addIssue(issue: { code: 'custom'; message: string; path?: PropertyKey[] }): void },
  check: () => void,
  path: PropertyKey[] = [],
): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    context.addIssue({
      code: 'custom',
      path,
      message: error.hint === null ? error.message : `${error.message}: ${error.hint}`,
    });
  }
}

const configSchema: z.ZodType<AgentConfig> = z
  .strictObject({
    listen: addressListValue.default([anyAddress]),
    advertise: addressListValue.default([]),
    scan: z
      .strictObject({
        fullEvery: durationValue.default(hourMs),
        recentEvery: durationValue.default(minuteMs),
        entriesPerSecond: entriesValue.default(null),
      })
      .prefault({}),
    watch: z.strictObject({ directoriesMax: z.int().min(0).max(1_000_000).default(2048) }).prefault({}),
    spool: z.strictObject({ bytesMax: spoolSizeValue.default(null) }).prefault({}),
    upload: uploadSchema,
    folders: z
      .array(folderSchema)
      .max(limits.foldersMax, { error: `an agent has at most ${limits.foldersMax} folders` })
      .nullable()
      .default([]),
  })
  .transform(({ scan, folders, ...rest }) => ({
    ...rest,
    scan: {
      fullEveryMs: scan.fullEvery,
      recentEveryMs: scan.recentEvery,
      entriesPerSecond: scan.entriesPerSecond,
    },
    folders: folders ?? [],
  }))
  .superRefine((config, context) => {
    const seen = new Set<string>();
    for (const [position, { id }] of config.folders.entries()) {
      if (seen.has(id)) {
        context.addIssue({
          code: 'custom',
          path: ['folders', position, 'id'],
          message: `"${id}" is used twice`,
        });
      }
      seen.add(id);
    }
  });

/** Also refuses folders that hold the home. @throws CodedError CONFIG_INVALID */
export function readAgentConfig(home: Home): AgentConfig {
  const schema = configSchema.superRefine(({ folders }, context) => {
    for (const [position, folder] of folders.entries())
      reportProblem(context, () => assertFolderOutsideHome(folder, home), ['folders', position]);
  });
  return parseConfig(readConfigText(home.configFile), home.configFile, schema);
}

/** From text, for a file that is about to be written; where the folders lie is not looked at. @throws CodedError CONFIG_INVALID */
export function parseAgentConfig(text: string, file: string): AgentConfig {
  return parseConfig(text, file, configSchema);
}

/** The file that `init` writes: every option with its default and what it does. */
export function agentConfigText(options: {
  listen: readonly Address[];
  advertise: readonly Address[];
  folders: readonly FolderConfig[];
}): string {
  const text = `# Configuration of mastokeep-agent. Changes take effect with "mastokeep-agent reload";
# "mastokeep-agent config check" says whether they make sense.

# Where receivers connect to: HOST:PORT, a list of them, or off when this server only connects to others.
# [::] means every address of this machine, IPv4 and IPv6.
listen: "[::]:${defaultPort}"

# The addresses that invitations carry: HOST:PORT each. Empty: the addresses of this machine.
# Name the public one here when the server sits behind NAT or has a name.
advertise: []

scan:
  # How often everything is compared with what is known. New files are found much earlier by watching.
  fullEvery: 1h
  # How often the directories that changed lately are compared.
  recentEvery: 1m
  # How many files and directories a second the comparison of everything looks at, at most: 2000 for example, where
  # the site's disk suffers from it. off: as many as it can. What changed lately is looked at at once in any case.
  entriesPerSecond: off

watch:
  # How many directories are watched for changes at most, the recently changed ones. 0 turns watching off:
  # new files are then found by scans only.
  directoriesMax: 2048

spool:
  # How much of what was sealed may wait here until receivers have it: 10 GiB for example.
  # auto: 10 GiB, or a fifth of the free disk where that is less.
  bytesMax: auto

# How fast this server sends to receivers, in KiB (1024 bytes) a second, ${rateMin} at least; off: as fast as the line takes it.
#   total        to all receivers together
#   perReceiver  to each of them
#   receivers    to single ones, by the device ID or its beginning: {ABCDEFG: 500}
#   schedule     other limits at hours of the day, by this server's local time. What an entry does not name is as
#                it is outside:
#     - {from: 08:00, to: 23:00, total: 500}
#     - {from: 23:00, to: 08:00, total: off}
upload:
  total: off
  perReceiver: off
  receivers: {}
  schedule: []

# What is replicated. "mastokeep-agent folder add" adds to this list.
#   id        a name of your choice: lower-case letters, digits, ".", "_" and "-"
#   kind      mirror: a tree of files, kept as plain files with their versions
#             sealed: dumps and secrets, encrypted on this server so that no receiver can read them
#   path      of a mirror: the directory
#   ignore    of a mirror: patterns of what to leave out, written as in .gitignore
#   source    of a sealed folder, one of
#             postgres: {connection: "dbname=mastodon_production", exec: "docker compose -f FILE exec -T db"}
#             paths: [/home/mastodon/live/.env.production, /etc]
#             command: redis-cli --rdb -
#   schedule  of a sealed folder: when it is dumped, a cron expression; "${defaultSchedule}" is hourly at :40
folders: []
`;
  const document = yamlLibrary().parseDocument(text);
  if (options.listen.length > 0) document.set('listen', addressesValue(options.listen));
  if (options.advertise.length > 0) document.set('advertise', options.advertise.map(formatAddress));
  let edited = document.toString({ lineWidth: 120 });
  for (const folder of options.folders) edited = addFolderText(edited, 'agent.yaml', folder);
  return edited;
}

/**
 * The text with one more folder, comments kept.
 * @throws CodedError CONFIG_INVALID when the text is not valid, has a folder of this id already, or as many as there may be
 */
export function addFolderText(text: string, file: string, folder: FolderConfig): string {
  const config = parseAgentConfig(text, file);
  if (config.folders.some(({ id }) => id === folder.id)) {
    throw new CodedError('CONFIG_INVALID', `there is a folder "${folder.id}" already`, {
      hint: `choose another id, or edit ${file}`,
    });
  }
  if (config.folders.length >= limits.foldersMax) {
    throw new CodedError('CONFIG_INVALID', `an agent has at most ${limits.foldersMax} folders`, {
      hint: `take one that is not needed any more out of ${file}`,
    });
  }
  const yaml = yamlLibrary();
  const document = yaml.parseDocument(text);
  let list = document.get('folders');
  if (!yaml.isSeq(list)) {
    list = new yaml.YAMLSeq();
    document.set('folders', list);
  }
  const sequence = list as YAMLSeq;
  sequence.flow = false;
  sequence.add(document.createNode(writtenFolder(folder)));
  const edited = document.toString({ lineWidth: 120 });
  parseAgentConfig(edited, file);
  return edited;
}

/** Without what is the default anyway. */
function writtenFolder(folder: FolderConfig): object {
  if (folder.kind === 'mirror') {
    const { ignore, ...rest } = folder;
    return ignore.length > 0 ? { ...rest, ignore } : rest;
  }
  const { source } = folder;
  if ('postgres' in source) {
    const { connection, exec } = source.postgres;
    return { ...folder, source: { postgres: { connection, ...(exec === null ? {} : { exec }) } } };
  }
  if (!('paths' in source) || source.ignore.length > 0) return folder;
  return { ...folder, source: { paths: source.paths } };
}

/** The folder for people to see: a password in a connection string is `***`. */
export function maskPassword(folder: FolderConfig): FolderConfig {
  if (folder.kind === 'mirror' || !('postgres' in folder.source)) return folder;
  const { connection, exec } = folder.source.postgres;
  return { ...folder, source: { postgres: { connection: maskConnectionPassword(connection), exec } } };
}

function addressesValue(addresses: readonly Address[]): string | string[] {
  const texts = addresses.map(formatAddress);
  const [only] = texts;
  return only !== undefined && texts.length === 1 ? only : texts;
}
