import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { createAgentProgram } from '../../agent/cli/program.ts';
import { createReceiverProgram } from '../../receiver/cli/program.ts';
import type { ProgramName } from '../support/program.ts';

const checkout = path.resolve(import.meta.dirname, '../..');
const programs = { agent: createAgentProgram(), receiver: createReceiverProgram() };
const documents = ['README.md', 'CHANGELOG.md', ...list('docs')];

it.each(documents)('links only to what exists: %s', (document) => {
  const text = read(document);
  const links = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)];
  const broken = links.filter(([, target = '', anchor]) => {
    const file = target === '' ? document : path.join(path.dirname(document), target);
    if (!fs.existsSync(path.join(checkout, file))) return true;
    return anchor !== undefined && !anchorsOf(read(file)).includes(anchor);
  });
  expect(broken.map(([link]) => link)).toEqual([]);
});

it('names only commands and options that the programs have', () => {
  const unknown: string[] = [];
  const named = documents.flatMap((document) => commandsIn(read(document)));
  for (const { program, command, options } of named) {
    const text = helpOf(program, command);
    if (!text.startsWith(`Usage: mastokeep-${program} ${command} `)) unknown.push(`${program} ${command}`);
    for (const option of options) {
      if (!text.includes(option)) unknown.push(`${program} ${command} ${option}`);
    }
  }
  expect(unknown).toEqual([]);
  expect(new Set(named.map(({ program, command }) => `${program} ${command}`)).size).toBeGreaterThan(10);
});

/** What `--help` of the command prints; of an unknown one, its parent's. */
function helpOf(program: ProgramName, command: string): string {
  let found = programs[program];
  for (const word of command.split(' ')) found = found.commands.find((one) => one.name() === word) ?? found;
  return found.helpInformation();
}

type NamedCommand = { program: ProgramName; command: string; options: string[] };

/** `mastokeep-agent COMMAND --option` wherever it stands in code; what only looks so (paths, units) is passed over. */
function commandsIn(markdown: string): NamedCommand[] {
  const code = [...markdown.matchAll(/```[a-z]*\n(.*?)```|`([^`]+)`/gs)].map(
    ([, block, span]) => block ?? span ?? '',
  );
  return code
    .flatMap((text) => text.split('\n'))
    .flatMap((line) =>
      Array.from(line.replace(/ #.*/, '').matchAll(/(?<![-/\w.]|-u )mastokeep-(agent|receiver) ([a-z].*)/g)),
    )
    .map(([, program, rest = '']) => {
      const words = rest.split(/\s+/);
      const command = words[0] === 'folder' ? words.slice(0, 2).join(' ') : (words[0] ?? '');
      return {
        program: program as ProgramName,
        command,
        options: words.filter((word) => word.startsWith('--')),
      };
    });
}

function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function list(directory: string): string[] {
  return fs
    .readdirSync(path.join(checkout, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${directory}/${name}`);
}

function read(document: string): string {
  return fs.readFileSync(path.join(checkout, document), 'utf8');
}
