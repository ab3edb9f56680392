import { CodedError } from '../errors/coded-error.ts';

declare const relativePathBrand: unique symbol;

/**
 * A path below a folder's root, as a *byte string*: every character stands for one byte (latin1), so names that
 * are not UTF-8 are kept exactly, equality is byte equality, and `<` sorts like bytes. `/` separates, no segment
 * is empty, `.` or `..`; the empty string is the root itself.
 */
export type RelativePath = string & { readonly [relativePathBrand]: true };

export const rootPath = '' as RelativePath;

/** Limits of Linux: PATH_MAX less room for the root, NAME_MAX. */
export const pathBytesMax = 3072;
export const segmentBytesMax = 255;

/**
 * Checks bytes from wire, disk or a directory listing and gives the path they name.
 * @throws CodedError PATH_INVALID
 */
export function parseRelativePath(bytes: Uint8Array): RelativePath {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const problem = pathProblem(text);
  if (problem !== null) {
    throw new CodedError('PATH_INVALID', `path "${displayBytes(text.slice(0, 200))}" ${problem}`);
  }
  return text as RelativePath;
}

/** The path that a person typed (UTF-8 text); a leading `./` and a trailing `/` are dropped. @throws CodedError PATH_INVALID */
export function parseTypedPath(text: string): RelativePath {
  return parseRelativePath(Buffer.from(text.replace(/^(\.\/)+/, '').replace(/\/+$/, ''), 'utf8'));
}

/** The path's bytes, for disk, wire and database. */
export function encodeRelativePath(path: RelativePath): Buffer {
  return Buffer.from(path, 'latin1');
}

/** The path for people and JSON: UTF-8 text; bytes that are not UTF-8 and control characters as `\xNN`, backslash doubled. */
export function displayPath(path: RelativePath): string {
  return displayBytes(path);
}

/** The path of `name` (a byte string without `/`) in `directory`. @throws CodedError PATH_INVALID */
export function joinPath(directory: RelativePath, name: string): RelativePath {
  return parseRelativePath(Buffer.from(directory === '' ? name : `${directory}/${name}`, 'latin1'));
}

/** The same for a name from a listing or the index, which is one: it is not checked again. */
export function childPath(directory: RelativePath, name: string): RelativePath {
  return (directory === '' ? name : `${directory}/${name}`) as RelativePath;
}

/** The directory that holds the path, or null for the root. */
export function parentPath(path: RelativePath): RelativePath | null {
  if (path === '') return null;
  const slash = path.lastIndexOf('/');
  return (slash < 0 ? '' : path.slice(0, slash)) as RelativePath;
}

/** The last segment, a byte string. */
export function baseName(path: RelativePath): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** True when `path` lies below `ancestor` (not when they are equal). */
export function isBelow(path: RelativePath, ancestor: RelativePath): boolean {
  return ancestor === '' ? path !== '' : path.startsWith(`${ancestor}/`);
}

/** A file-system argument for `path` below `root`: bytes are passed exactly. */
export function fsPath(root: string, path: RelativePath): Buffer {
  const rootBytes = Buffer.from(root, 'utf8');
  return path === '' ? rootBytes : Buffer.concat([rootBytes, Buffer.from('/'), Buffer.from(path, 'latin1')]);
}

function pathProblem(text: string): string | null {
  if (text === '') return null;
  if (text.length > pathBytesMax) return `is longer than ${pathBytesMax} bytes`;
  if (text.includes('\0')) return 'contains a NUL byte';
  for (const segment of text.split('/')) {
    if (segment === '') return 'is absolute or has an empty segment';
    if (segment === '.' || segment === '..') return 'climbs with "." or ".."';
    if (segment.length > segmentBytesMax) return `has a name longer than ${segmentBytesMax} bytes`;
  }
  return null;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function displayBytes(byteString: string): string {
  const bytes = Buffer.from(byteString, 'latin1');
  try {
    return strictUtf8
      .decode(bytes)
      .replaceAll('\\', '\\\\')
      .replaceAll(/\p{Cc}/gu, (character) => escapeByte(character.charCodeAt(0)));
  } catch {
    return [...bytes]
      .map((byte) =>
        byte >= 0x20 && byte < 0x7f ? (byte === 0x5c ? '\\\\' : String.fromCharCode(byte)) : escapeByte(byte),
      )
      .join('');
  }
}

function escapeByte(code: number): string {
  return `\\x${code.toString(16).padStart(2, '0')}`;
}
