import { isCoded } from '../../shared/errors/coded-error.ts';
import type { Disk, DiskPath, DiskStat } from '../../shared/io/disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import {
  bytesPerFile,
  checkContent,
  pieceBytes,
  statFile,
  type ContentCheck,
  type Pace,
} from './content-check.ts';
import type { DamageKind } from './journal-entry.ts';
import { openIfThere } from './readable-content.ts';
import type { ResumableSha256 } from './resumable-sha256.ts';
import { placeBelow } from './store-layout.ts';

/** What is looked at once more before it is told. */
type Doubtful = Exclude<DamageKind, 'missing'>;

/** A look at a long file that has come to its middle: all that is needed to go on, for another process too. */
export type HalfLook = {
  /** What is looked at: the content that it has to be, its size, and when it was written to. */
  identity: string;
  /** How many bytes this look has read. */
  offset: number;
  /** The state of the hash over them, base64; see `ResumableSha256`. */
  hash: string;
  /** What the first look found; null while that one is under way. */
  first: Doubtful | null;
  /** Which attempt this is: each one but the first found another file than the one before. */
  starts: number;
};

/**
 * Why a file could not be read through: `changing`: somebody touches it all the time; `replaced`: other content takes its
 * place all the time, each of which was compared when it came.
 */
type Unsettled = 'changing' | 'replaced';

/**
 * `again`: so many of the bytes that `pace` was told of, in this stretch and in earlier ones, count for nothing, because
 * what they were read for begins anew. `first`: what the first look found; null where one was enough.
 */
export type LongCheck = { again: number } & (
  | { half: HalfLook }
  | { half: null; verdict: ContentCheck | Unsettled; first: Doubtful | null }
);

type CheckedFile = {
  disk: Disk;
  base: DiskPath;
  path: RelativePath | string;
  wanted: { size: number; hash: Buffer };
};
/** So much of it is read at once. */
type LongFile = CheckedFile & { stretchBytes: number };

/** Whoever changes a file again and again does not keep the scrub from what lies behind it. */
const startsMax = 3;

/**
 * Goes on with a look at a stored file, by one stretch. What is not the file any more that it was is begun anew; what
 * seems to be damaged is looked at once more from its beginning.
 * @throws CodedError DISK_FAILED (not of the file)
 */
export async function checkLong(
  file: LongFile,
  half: HalfLook | null,
  sha256: ResumableSha256,
  pace: Pace,
): Promise<LongCheck> {
  const stat = statFile(file.disk, file.base, file.path);
  if (stat?.kind !== 'file') {
    const verdict: ContentCheck = { found: 'missing', identity: stat?.identity ?? null };
    return { half: null, verdict, first: null, again: 0 };
  }
  const identity = identifyFile(file.wanted, stat);
  const isSame = half?.identity === identity && sha256.accepts(Buffer.from(half.hash, 'base64'));
  const begun = { identity, offset: 0, hash: toBase64(sha256.begin()), first: null };
  const look: HalfLook = isSame ? half : { ...begun, starts: (half?.starts ?? 0) + 1 };
  const again = isSame ? 0 : pacedUntil(half?.offset ?? 0);
  if (look.starts > startsMax) {
    const verdict = half?.identity.startsWith(`${hashText(file.wanted)} `) ? 'changing' : 'replaced';
    return { half: null, verdict, first: null, again };
  }
  const isLong = stat.size === file.wanted.size;
  const { found, ...read } = isLong
    ? await readOn(file, look, sha256, pace)
    : { ...look, found: 'size' as const };
  if (found === 'more') return { half: { ...look, ...read }, again };
  if (found === 'missing')
    return { half: null, verdict: { found, identity: null }, first: look.first, again };
  if (found === null || look.first !== null)
    return { half: null, verdict: { found, identity: stat.identity }, first: look.first, again };
  return { half: { ...look, ...begun, first: found }, again: again + pacedUntil(read.offset) };
}

/** The same for a file that is read in one go. `half`: what was begun in stretches, and counts for nothing now. */
export async function checkTwice(
  { disk, base, path, wanted }: CheckedFile,
  half: HalfLook | null,
  pace: Pace,
): Promise<LongCheck> {
  const begun = pacedUntil(half?.offset ?? 0);
  let again = begun;
  const first = await checkContent(disk, base, path, wanted, async (bytes) => {
    again += bytes;
    await pace(bytes);
  });
  if (first.found === null || first.found === 'missing')
    return { half: null, verdict: first, first: null, again: begun };
  const verdict = await checkContent(disk, base, path, wanted, pace);
  return { half: null, verdict, first: first.found, again };
}

type Stretch = { found: DamageKind | 'more' | null; offset: number; hash: string };

/** `found`: more, as long as the end has not been reached. */
async function readOn(
  { disk, base, path, wanted, stretchBytes }: LongFile,
  { offset: from, hash }: HalfLook,
  sha256: ResumableSha256,
  pace: Pace,
): Promise<Stretch> {
  let state: Uint8Array = Buffer.from(hash, 'base64');
  let offset = from;
  const outcome = (found: Stretch['found']): Stretch => ({ found, offset, hash: toBase64(state) });
  if (from === 0) await pace(bytesPerFile);
  let fd: number | null = null;
  try {
    fd = openIfThere(disk, placeBelow(base, path));
    if (fd === null) return outcome('missing');
    const end = Math.min(from + stretchBytes, wanted.size);
    const piece = Buffer.allocUnsafeSlow(pieceBytes);
    while (offset < end) {
      const length = await disk.readLater(fd, piece.subarray(0, end - offset), offset);
      if (length === 0) return outcome('content');
      state = sha256.add(state, piece.subarray(0, length));
      offset += length;
      await pace(length);
    }
  } catch (error) {
    if (!isCoded(error, 'DISK_FAILED')) throw error;
    return outcome('unreadable');
  } finally {
    if (fd !== null) disk.close(fd);
  }
  if (offset < wanted.size) return outcome('more');
  return outcome(sha256.digest(state).equals(wanted.hash) ? null : 'content');
}

/**
 * Tells a stored file from what it was or will be. Not by the number of the device, which may be another one after a restart
 * of the machine; nor by the time of the inode, which links, owners and modes change too: what was read of two files costs
 * a second look.
 */
function identifyFile(wanted: { hash: Buffer }, { size, mtimeNs }: DiskStat): string {
  return `${hashText(wanted)} ${size} ${mtimeNs}`;
}

function hashText({ hash }: { hash: Buffer }): string {
  return hash.toString('hex');
}

/** What `pace` was told of when a look has come so far. */
function pacedUntil(offset: number): number {
  return offset === 0 ? 0 : bytesPerFile + offset;
}

function toBase64(state: Uint8Array): string {
  return Buffer.from(state).toString('base64');
}
