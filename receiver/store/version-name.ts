import { createHash } from 'node:crypto';
import {
  baseName,
  parentPath,
  segmentBytesMax,
  type RelativePath,
} from '../../shared/records/relative-path.ts';

/** Longer "extensions" are no extensions; they are cut with the name where it is too long. */
const extensionBytesMax = 32;

/**
 * Syncthing's name for a version of `path` archived at `at` (ms): `name~YYYYMMDD-HHMMSS.ext` in UTC, from the second
 * `attempt` on with `-2`, `-3`, … after the time. A name too long for that is cut and gets 16 hex digits of its SHA-256.
 * A byte string, relative to `versions/`.
 */
export function versionName(path: RelativePath, at: number, attempt: number): string {
  const name = baseName(path);
  const directory = parentPath(path) ?? '';
  const tag = `~${timeTag(at)}${attempt === 1 ? '' : `-${attempt}`}`;
  const [stem, extension] = splitExtension(name);
  const tagged = `${stem}${tag}${extension}`;
  const fitting = tagged.length <= segmentBytesMax ? tagged : shortened(name, stem, extension, tag);
  return directory === '' ? fitting : `${directory}/${fitting}`;
}

/** A name for a version whose own directory in `versions/` cannot be made, because a version's file has its name. */
export function fallbackVersionName(path: RelativePath, at: number, attempt: number): string {
  const hash = createHash('sha256').update(path, 'latin1').digest('hex');
  return `~/${hash}~${timeTag(at)}${attempt === 1 ? '' : `-${attempt}`}`;
}

/** The path and time that a version's name tells, or null for another name. Not exact for shortened names. */
export function parseVersionName(name: string): { path: string; at: number } | null {
  const slash = name.lastIndexOf('/') + 1;
  const found = /^(?<stem>.*)~(?<date>\d{8})-(?<time>\d{6})(?:-\d+)?(?<extension>\.[^.]*)?$/s.exec(
    name.slice(slash),
  );
  const groups = found?.groups;
  if (groups === undefined) return null;
  const [date, time] = [groups['date'] ?? '', groups['time'] ?? ''];
  const at = Date.parse(
    `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}T${time.slice(0, 2)}:${time.slice(2, 4)}:${time.slice(4)}Z`,
  );
  const path = `${name.slice(0, slash)}${groups['stem']}${groups['extension'] ?? ''}`;
  return Number.isNaN(at) ? null : { path, at };
}

function timeTag(at: number): string {
  return new Date(at)
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replaceAll(/[-:]/g, '')
    .replace('T', '-');
}

function splitExtension(name: string): [stem: string, extension: string] {
  const dot = name.lastIndexOf('.');
  return dot < 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot)];
}

function shortened(name: string, stem: string, extension: string, tag: string): string {
  const kept = extension.length > extensionBytesMax ? '' : extension;
  const hash = createHash('sha256').update(name, 'latin1').digest('hex').slice(0, 16);
  const room = segmentBytesMax - tag.length - kept.length - hash.length - 1;
  const cut = kept === '' ? name : stem;
  return `${cutText(cut, room)}-${hash}${tag}${kept}`;
}

/** At most `bytesMax` bytes, not ending within a UTF-8 sequence. */
function cutText(byteString: string, bytesMax: number): string {
  let end = Math.min(bytesMax, byteString.length);
  for (let back = 0; back < 3 && isContinuation(byteString, end); back += 1) end -= 1;
  return byteString.slice(0, end);
}

function isContinuation(byteString: string, at: number): boolean {
  return (byteString.charCodeAt(at) & 0xc0) === 0x80;
}
