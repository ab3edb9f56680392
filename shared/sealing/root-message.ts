import * as z from 'zod';
import { CodedError } from '../errors/coded-error.ts';
import { folderIdPattern } from '../records/folder-id.ts';
import { canonicalJson, parseStrictJson, type Json } from './canonical-json.ts';
import type { Extent } from './extents.ts';
import { padmeLength } from './padme.ts';
import { nameSealed, type SealedPack } from './sealed-pack.ts';
import type { Sealer } from './sealer.ts';
import { sealedLimits } from './sealed-limits.ts';
import type { Unsealer } from './unsealer.ts';

const rootFormat = 'mastokeep-root-1';
const rootBytesMin = 1024;

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

const rootSchema = z.strictObject({
  format: z.literal(rootFormat),
  folder: z.string().regex(folderIdPattern),
  epoch: z.string().regex(/^[0-9a-f]{16}$/),
  number: z.int().min(1).max(9_999_999_999),
  createdAt: z.iso.datetime({ precision: 3 }),
  source: z.record(z.string(), z.json()).and(z.object({ kind: z.string().min(1) })),
  manifest: z.strictObject({
    size: count,
    sha256: sha256Hex,
    packs: z.array(sha256Hex).max(sealedLimits.packsPerVersionMax),
    extents: z.array(z.tuple([count, count, count])).max(sealedLimits.rootExtentsMax),
  }),
});

/** What was known of the source: its kind, and for PostgreSQL its version, `schema_migrations`, table sizes. */
export type SourceFacts = { kind: string } & { [fact: string]: Json };

/** The sealed heart of a version: where its manifest lies, and what was known of the source. */
export type RootMessage = {
  folder: string;
  epoch: string;
  number: number;
  /** ISO 8601 in UTC with milliseconds, as in the version record. */
  createdAt: string;
  source: SourceFacts;
  /** `extents` name packs by their hash (hexadecimal). `sha256`: of the manifest's bytes, hexadecimal. */
  manifest: { size: number; sha256: string; extents: Extent<string>[] };
};

/** JSON text, padded with spaces and a line feed to a Padmé length of at least 1 KiB. @throws CodedError MANIFEST_INVALID (too large) */
export function encodeRootMessage(root: RootMessage): Buffer {
  if (root.manifest.extents.length > sealedLimits.rootExtentsMax) throw invalid('it has too many extents');
  const packs = [...new Set(root.manifest.extents.map(({ pack }) => pack))];
  const positions = new Map(packs.map((pack, position) => [pack, position]));
  const extents = root.manifest.extents.map(({ pack, offset, length }) => [
    positions.get(pack) ?? 0,
    offset,
    length,
  ]);
  const { size, sha256 } = root.manifest;
  const text = canonicalJson({ ...root, format: rootFormat, manifest: { size, sha256, packs, extents } });
  const json = Buffer.from(text, 'utf8');
  const bytes = Buffer.alloc(padmeLength(Math.max(rootBytesMin, json.length + 1)), ' ');
  json.copy(bytes);
  bytes[bytes.length - 1] = 0x0a;
  if (bytes.length > sealedLimits.rootBytesMax) throw invalid('it is too large');
  return bytes;
}

/** @throws CodedError MANIFEST_INVALID */
export function parseRootMessage(bytes: Uint8Array): RootMessage {
  const parsed = rootSchema.safeParse(parseStrictJson(bytes, sealedLimits.rootBytesMax, invalid));
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error).slice(0, 500));
  const { format: _, manifest, ...rest } = parsed.data;
  const extents = manifest.extents.map(([position, offset, length]) => {
    const pack = manifest.packs[position];
    if (pack === undefined) throw invalid(`an extent refers to pack ${position} of ${manifest.packs.length}`);
    if (length === 0 || offset + length > sealedLimits.packPlainBytesMax) {
      throw invalid('an extent is empty or ends behind its pack');
    }
    return { pack, offset, length };
  });
  const covered = extents.reduce((sum, { length }) => sum + length, 0);
  if (covered !== manifest.size) throw invalid(`its extents cover ${covered} of ${manifest.size} bytes`);
  return { ...rest, manifest: { size: manifest.size, sha256: manifest.sha256, extents } };
}

/** The root message sealed, alone, as one OpenPGP message. */
export async function sealRootMessage(root: RootMessage, sealer: Sealer): Promise<SealedPack> {
  return nameSealed(await sealer.sealMessage(encodeRootMessage(root)));
}

/**
 * The root message of a version.
 * @param expected what the version record says: a root message of another version or folder is refused
 * @throws CodedError KEY_WRONG, PACK_CORRUPT, MANIFEST_INVALID, RECORD_FORGED (it belongs to another version)
 */
export async function unsealRootMessage(
  message: Uint8Array,
  unsealer: Unsealer,
  expected: VersionIdentity,
): Promise<RootMessage> {
  const root = parseRootMessage(await unsealer.unsealMessage(message, sealedLimits.rootBytesMax));
  const [found, told] = [describeIdentity(root), describeIdentity(expected)];
  if (found === told) return root;
  throw new CodedError('RECORD_FORGED', `the root message belongs to ${found}, and its record to ${told}`);
}

/** What a version record and its root message both tell. */
type VersionIdentity = Pick<RootMessage, 'folder' | 'epoch' | 'number' | 'createdAt'>;

/** Two versions never have the same: no member holds white space. */
function describeIdentity({ folder, epoch, number, createdAt }: VersionIdentity): string {
  return `version ${number} of folder ${folder}, epoch ${epoch}, made ${createdAt}`;
}

function invalid(why: string): CodedError {
  return new CodedError('MANIFEST_INVALID', `a root message does not make sense: ${why}`);
}
