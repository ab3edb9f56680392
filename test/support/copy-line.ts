import { mastodonTables } from './mastodon-schema.ts';

type CopyList = readonly (string | number | bigint)[];
type CopyValue = string | number | bigint | boolean | Buffer | null | CopyList;

/** Values by column; a time is in ms. What is left out is NULL, or the empty value of a column that takes no NULL. */
export type CopyRow = Record<string, CopyValue>;

/** A line of COPY without its line break. @see https://www.postgresql.org/docs/current/sql-copy.html (text format) */
export function encodeCopyLine(table: string, row: CopyRow): string {
  const columns = mastodonTables.get(table)?.columns ?? [];
  let line = '';
  for (const column of columns) {
    if (line !== '' || column !== columns[0]) line += '\t';
    const value = row[column.name];
    if (value === null || value === undefined)
      line += value === undefined && !column.nullable ? emptyOf(column.type) : '\\N';
    else if (column.type === 't') line += new Date(value as number).toISOString();
    else if (Buffer.isBuffer(value)) line += `\\\\x${value.toString('hex')}`;
    else if (isList(value)) line += escapeText(arrayText(value));
    else if (typeof value === 'string') line += escapeText(value);
    else line += String(value);
  }
  return line;
}

function emptyOf(type: string): string {
  if (type === 's' || type === 'x') return '';
  if (type === 'b') return 'f';
  return type === 't' ? '2026-01-01' : '0';
}

function arrayText(values: CopyList): string {
  return `{${values.map((value) => (typeof value === 'string' ? `"${value.replaceAll(/["\\]/g, '\\$&')}"` : String(value))).join(',')}}`;
}

const special = /[\\\n\r\t]/;
const replacements: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

function escapeText(text: string): string {
  return special.test(text)
    ? text.replaceAll(/[\\\n\r\t]/g, (character) => replacements[character] as string)
    : text;
}

function isList(value: CopyValue): value is CopyList {
  return Array.isArray(value);
}
