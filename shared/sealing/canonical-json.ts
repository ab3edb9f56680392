import type { CodedError } from '../errors/coded-error.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * JSON with keys sorted by UTF-16 code units at every depth, no white space, and strings as JSON.stringify writes them
 * (RFC 8785 for what occurs here: integers and strings).
 */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map((item: Json) => canonicalJson(item)).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value as Record<string, Json>)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What the bytes say as UTF-8 JSON; `problem` makes the error for what they do not. */
export function parseStrictJson(
  bytes: Uint8Array,
  bytesMax: number,
  problem: (why: string) => CodedError,
): unknown {
  if (bytes.length > bytesMax) throw problem(`it has ${bytes.length} bytes, more than ${bytesMax}`);
  try {
    return JSON.parse(strictUtf8.decode(bytes));
  } catch {
    throw problem('it is not JSON in UTF-8');
  }
}
