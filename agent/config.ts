import path from 'node:path';
import { parseDocument, isSeq, YAMLSeq } from 'yaml';
import { z } from 'zod';
import { addressListValue, durationValue } from '../shared/cli/config-value.ts';
import { CodedError } from '../shared/errors/coded-error.ts';
import { parseConfig, readConfigText } from '../shared/io/config-file.ts';
import { defaultPort, formatAddress, type Address } from '../shared/link/address.ts';
import { folderIdPattern } from '../shared/records/folder-id.ts';

/** A mirror folder: the tree at `path` (absolute) without what `ignore` (gitignore syntax) matches. */
export type FolderConfig = { id: string; kind: 'mirror'; path: string; ignore: string[] };

/** `agent.yaml` with every default filled in; a restart makes changes effective. */
export type AgentConfig = {
  listen: Address[];
  /** What invitations carry; empty: the machine's own addresses. */
  advertise: Address[];
  scan: { fullEveryMs: number; recentEveryMs: number };
  watch: { directoriesMax: number };
  folders: FolderConfig[];
};

const anyAddress: Address = { host: '::', port: defaultPort };
const hourMs = 3_600_000;
const minuteMs = 60_000;

/** What a person is told who asks for a kind of folder that this version does not have. */
export const sealedFoldersMissing = 'this version replicates mirror folders only';

const folderSchema = z.strictObject(
  {
    id: z.string().regex(folderIdPattern, {
      error: 'a folder id has lower-case letters, digits, ".", "_" and "-", at most 64',
    }),
    kind: z.literal('mirror', {
      error: (issue) => (issue.input === 'sealed' ? sealedFoldersMissing : 'must be mirror'),
    }),
    path: z
      .string({ error: 'a mirror folder needs the path of a directory' })
      .refine((value) => path.isAbsolute(value), { error: 'must be an absolute path' }),
    ignore: z.array(z.string(), { error: 'must be a list of patterns' }).default([]),
  },
  {
    error: (issue) =>
      issue.code === 'invalid_type' ? 'a folder has id, kind, path and perhaps ignore' : undefined,
  },
);

const configSchema: z.ZodType<AgentConfig> = z
  .strictObject({
    listen: addressListValue.default([anyAddress]),
    advertise: addressListValue.default([]),
    scan: z
      .strictObject({
        fullEvery: durationValue.default(hourMs),
        recentEvery: durationValue.default(minuteMs),
      })
      .prefault({}),
    watch: z.strictObject({ directoriesMax: z.int().min(0).max(1_000_000).default(8192) }).prefault({}),
    folders: z.array(folderSchema).max(64).nullable().default([]),
  })
  .transform(({ scan, folders, ...rest }) => ({
    ...rest,
    scan: { fullEveryMs: scan.fullEvery, recentEveryMs: scan.recentEvery },
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

/** @throws CodedError CONFIG_INVALID */
export function readAgentConfig(file: string): AgentConfig {
  return parseConfig(readConfigText(file), file, configSchema);
}

/** The same from text, for a file that is about to be written. @throws CodedError CONFIG_INVALID */
export function parseAgentConfig(text: string, file: string): AgentConfig {
  return parseConfig(text, file, configSchema);
}

/** The file that `init` writes: every option with its default and what it does. */
export function agentConfigText(options: {
  listen: readonly Address[];
  advertise: readonly Address[];
  folders: readonly FolderConfig[];
}): string {
  const text = `# Configuration of mastokeep-agent. Changes take effect when the program is restarted;
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

watch:
  # How many directories are watched for changes at most, the recently changed ones. 0 turns watching off:
  # new files are then found by scans only.
  directoriesMax: 8192

# What is replicated. "mastokeep-agent folder add" adds to this list.
#   id      a name of your choice: lower-case letters, digits, ".", "_" and "-"
#   kind    mirror: a tree of files, kept as plain files with their versions
#   path    the directory
#   ignore  patterns of what to leave out, written as in .gitignore
folders: []
`;
  const document = parseDocument(text);
  if (options.listen.length > 0) document.set('listen', addressesValue(options.listen));
  if (options.advertise.length > 0) document.set('advertise', options.advertise.map(formatAddress));
  let edited = document.toString({ lineWidth: 120 });
  for (const folder of options.folders) edited = addFolderText(edited, 'agent.yaml', folder);
  return edited;
}

/**
 * The text with one more folder, comments kept.
 * @throws CodedError CONFIG_INVALID when the text is not valid or has a folder of this id already
 */
export function addFolderText(text: string, file: string, folder: FolderConfig): string {
  const config = parseAgentConfig(text, file);
  if (config.folders.some(({ id }) => id === folder.id)) {
    throw new CodedError('CONFIG_INVALID', `there is a folder "${folder.id}" already`, {
      hint: `choose another id, or edit ${file}`,
    });
  }
  const document = parseDocument(text);
  let list = document.get('folders');
  if (!isSeq(list)) {
    list = new YAMLSeq();
    document.set('folders', list);
  }
  const sequence = list as YAMLSeq;
  sequence.flow = false;
  const { ignore, ...rest } = folder;
  sequence.add(document.createNode(ignore.length > 0 ? { ...rest, ignore } : rest));
  const edited = document.toString({ lineWidth: 120 });
  parseAgentConfig(edited, file);
  return edited;
}

function addressesValue(addresses: readonly Address[]): string | string[] {
  const texts = addresses.map(formatAddress);
  const [only] = texts;
  return only !== undefined && texts.length === 1 ? only : texts;
}
