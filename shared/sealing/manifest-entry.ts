import * as z from 'zod';
import { CodedError } from '../errors/coded-error.ts';
import { encodeRelativePath, parseRelativePath, type RelativePath } from '../records/relative-path.ts';
import type { Extent } from './extents.ts';

type Common = { path: RelativePath; uid: number; gid: number; mtimeNs: bigint };

/** `mode`: permission bits (07777). `hash`: SHA-256 of the content, 32 bytes. Extents name packs by their hash (hexadecimal). */
export type ManifestFile = Common & {
  type: 'file';
  size: number;
  mode: number;
  hash: Buffer;
  extents: readonly Extent<string>[];
};
type ManifestDirectory = Common & { type: 'directory'; mode: number };
/** `target`: the bytes of the link's text. */
type ManifestSymlink = Common & { type: 'symlink'; target: Buffer };

export type ManifestEntry = ManifestFile | ManifestDirectory | ManifestSymlink;

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const id = z.int().min(0).max(0xffff_ffff);
const mode = z.int().min(0).max(0o7777);
const base64 = z.base64().min(1);
const common = {
  path: z.string().optional(),
  pathBase64: base64.optional(),
  uid: id,
  gid: id,
  mtimeNs: z.string().regex(/^(0|-?[1-9][0-9]{0,18})$/),
};

/** Extents as they are written: position in the list of packs, offset, length. */
export const writtenExtents = z.array(z.tuple([count, count, z.int().min(1).max(Number.MAX_SAFE_INTEGER)]));

export const manifestEntrySchema = z.discriminatedUnion('type', [
  z.strictObject({
    ...common,
    type: z.literal('file'),
    size: count,
    mode,
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    extents: writtenExtents,
  }),
  z.strictObject({ ...common, type: z.literal('directory'), mode }),
  z.strictObject({
    ...common,
    type: z.literal('symlink'),
    target: z.string().min(1).optional(),
    targetBase64: base64.optional(),
  }),
]);

export type WrittenEntry = z.infer<typeof manifestEntrySchema>;

/** The entry's members as they are written, but the extents. */
export function writeEntry(
  entry: Omit<ManifestFile, 'extents'> | ManifestDirectory | ManifestSymlink,
): Record<string, string | number> {
  const { type, uid, gid } = entry;
  const common = {
    ...writeBytes('path', encodeRelativePath(entry.path)),
    type,
    uid,
    gid,
    mtimeNs: String(entry.mtimeNs),
  };
  if (entry.type === 'symlink') return { ...common, ...writeBytes('target', entry.target) };
  if (entry.type === 'directory') return { ...common, mode: entry.mode };
  return { ...common, size: entry.size, mode: entry.mode, sha256: entry.hash.toString('hex') };
}

/** The entry without its extents. @throws CodedError MANIFEST_INVALID, PATH_INVALID */
export function readEntry(written: WrittenEntry): ManifestEntry {
  const { uid, gid } = written;
  const path = parseRelativePath(readBytes('path', written.path, written.pathBase64));
  const common = { path, uid, gid, mtimeNs: BigInt(written.mtimeNs) };
  switch (written.type) {
    case 'file': {
      const { type, size, mode, sha256 } = written;
      return { ...common, type, size, mode, hash: Buffer.from(sha256, 'hex'), extents: [] };
    }
    case 'directory':
      return { ...common, type: written.type, mode: written.mode };
    case 'symlink': {
      const target = readBytes('target', written.target, written.targetBase64);
      if (target.includes(0) || target.length > 4095) throw manifestInvalid('a symlink has no valid target');
      return { ...common, type: written.type, target };
    }
  }
}

/** Bytes as UTF-8 text where they are that, otherwise as `<name>Base64`. */
function writeBytes(name: string, bytes: Buffer): Record<string, string> {
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes)
    ? { [name]: text }
    : { [`${name}Base64`]: bytes.toString('base64') };
}

function readBytes(name: string, text: string | undefined, encoded: string | undefined): Buffer {
  if (text !== undefined && encoded === undefined && text.isWellFormed()) return Buffer.from(text, 'utf8');
  if (encoded !== undefined && text === undefined) return Buffer.from(encoded, 'base64');
  throw manifestInvalid(`an entry has not exactly one ${name}`);
}

export function manifestInvalid(why: string): CodedError {
  return new CodedError('MANIFEST_INVALID', `a manifest does not make sense: ${why}`);
}
