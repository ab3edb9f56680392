import fs from 'node:fs';
import path from 'node:path';
import type { Document, LineCounter } from 'yaml';
import type { z } from 'zod';
import { CodedError, systemErrorCode } from '../errors/coded-error.ts';
import { yamlLibrary } from './yaml-library.ts';

/** One thing that is wrong in a configuration file; `line` counts from 1, null where it has no place. */
type ConfigProblem = { line: number | null; message: string };

/** The file as a document that keeps its comments, for editing. @throws CodedError CONFIG_INVALID */
export function readConfigText(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    throw new CodedError(
      'CONFIG_INVALID',
      `${file} cannot be read: ${systemErrorCode(error) ?? String(error)}`,
      {
        hint: 'run the command as the user of the program, or as root',
        cause: error,
      },
    );
  }
}

/**
 * Reads YAML text into what `schema` makes of it.
 * @throws CodedError CONFIG_INVALID that names the lines; `context.problems` holds all of them (ConfigProblem[])
 */
export function parseConfig<Config>(text: string, file: string, schema: z.ZodType<Config>): Config {
  const yaml = yamlLibrary();
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, { lineCounter: lines });
  if (document.errors.length > 0) {
    throw configError(
      file,
      document.errors.map((error) => ({
        line: error.linePos?.[0].line ?? null,
        message: error.message.replace(/ at line \d+, column \d+:[\s\S]*$/, ''),
      })),
    );
  }
  const result = schema.safeParse(document.toJS() ?? {});
  if (result.success) return result.data;
  throw configError(
    file,
    result.error.issues.map((issue) => problemOf(issue, document, lines)),
  );
}

function problemOf(issue: z.core.$ZodIssue, document: Document, lines: LineCounter): ConfigProblem {
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const where = lineOfKey(document, issue.path, key, lines) ?? lineOf(document, issue.path, lines);
    return { line: where, message: `there is no option "${[...issue.path, key].join('.')}"` };
  }
  const name = issue.path.join('.');
  return {
    line: lineOf(document, issue.path, lines),
    message: name === '' ? issue.message : `${name}: ${issue.message}`,
  };
}

/** The line of the value at `keys`, or of the nearest thing around it that is written down. */
function lineOf(document: Document, keys: readonly PropertyKey[], lines: LineCounter): number | null {
  const { isNode } = yamlLibrary();
  for (let length = keys.length; length >= 0; length -= 1) {
    const node = document.getIn(keys.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return null;
}

function lineOfKey(
  document: Document,
  keys: readonly PropertyKey[],
  key: string,
  lines: LineCounter,
): number | null {
  const { isMap, isScalar } = yamlLibrary();
  const map = document.getIn(keys, true);
  if (!isMap(map)) return null;
  const pair = map.items.find((item) => isScalar(item.key) && item.key.value === key);
  return isScalar(pair?.key) && pair.key.range ? lines.linePos(pair.key.range[0]).line : null;
}

function configError(file: string, problems: readonly ConfigProblem[]): CodedError {
  const texts = problems.map(({ line, message }) => (line === null ? message : `line ${line}: ${message}`));
  return new CodedError('CONFIG_INVALID', `${path.basename(file)} ${texts[0] ?? 'is invalid'}`, {
    hint: [...texts.slice(1).map((text) => `${path.basename(file)} ${text}`), `correct ${file}`].join('\n'),
    context: { file, problems },
  });
}
