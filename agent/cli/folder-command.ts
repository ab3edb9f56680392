import fs from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { parseFolderId } from '../../shared/records/folder-id.ts';
import { sealedFoldersMissing, type FolderConfig } from '../config.ts';
import { withAgent } from './with-agent.ts';

type AddOptions = { kind: string; path?: string[]; ignore?: string[]; json?: true };

/** `folder add`: adds to the configuration; the rest of the file stays as it is. */
export function addFolderCommand(program: Command): void {
  program
    .command('folder')
    .description('what is replicated')
    .command('add')
    .description('add a folder to the configuration')
    .argument('<ID>', 'a name for it: lower-case letters, digits, ".", "_" and "-"')
    .requiredOption('--kind <KIND>', 'mirror: a tree of files, kept as plain files with their versions')
    .option('--path <DIR>', 'the directory', collectOption)
    .option(
      '--ignore <PATTERN>',
      'what to leave out, written as in .gitignore; may be repeated',
      collectOption,
    )
    .option('--json', 'print JSON')
    .action(async (id: string, options: AddOptions, command: Command) => {
      const folder = folderOf(id, options);
      const added = await withAgent(command, async (commands) => commands.addFolder({ folder }));
      if (options.json === true) {
        printJson({ ...folder, active: added.active });
        return;
      }
      printText(
        `folder ${folder.id}: ${folder.path}`,
        added.active ? 'it is being replicated' : 'it is replicated from the next start of the program on',
      );
    });
}

function folderOf(idText: string, options: AddOptions): FolderConfig {
  const id = parseFolderId(idText);
  if (options.kind === 'sealed') {
    throw new CodedError('USAGE', `sealed folders are not possible yet: ${sealedFoldersMissing}`, {
      hint: 'use --kind mirror for a tree of files',
    });
  }
  if (options.kind !== 'mirror') {
    throw new CodedError('USAGE', `"${options.kind}" is not a kind of folder`, { hint: 'use --kind mirror' });
  }
  const [directory, ...more] = options.path ?? [];
  if (directory === undefined || more.length > 0) {
    throw new CodedError('USAGE', 'a mirror folder has exactly one --path', {
      hint: 'add a folder for each directory',
    });
  }
  const absolute = path.resolve(directory);
  if (!fs.statSync(absolute, { throwIfNoEntry: false })?.isDirectory()) {
    throw new CodedError('CONFIG_INVALID', `${absolute} is not a directory`, {
      hint: 'make or mount it first, so that an empty one is not taken for it',
    });
  }
  return { id, kind: 'mirror', path: absolute, ignore: options.ignore ?? [] };
}
