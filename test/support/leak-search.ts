import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { ifThere } from './if-there.ts';
import { findSecretKeyPackets } from './secret-key-packets.ts';
import { listFiles } from './tree-compare.ts';

/** Something that must not lie there: a row of a table, a passphrase, the number that makes a private key. */
export type Needle = { what: string; bytes: Buffer };

type Leak = { file: string; what: string; layer: string; at: number };

type LeakSearch = { files: number; bytes: number; leaks: Leak[] };

const zstdMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const gzipMagic = Buffer.from([0x1f, 0x8b, 0x08]);
const armor = Buffer.from('-----BEGIN PGP PRIVATE KEY BLOCK-----');
const base64Run = /[A-Za-z0-9+/]{40,}(?:[\r\n]+[A-Za-z0-9+/]+)*={0,2}/g;
const unpackedBytesMax = 256 * 1024 * 1024;
const layersMax = 4;

/**
 * Searches every file below a directory for the needles and for OpenPGP secret keys, armored or binary: in the plain
 * bytes, and in what unpacks from any zstd or gzip stream and any base64 that begins anywhere in them, layer by layer.
 * A program may be working there: what goes meanwhile is passed over.
 */
export function searchForLeaks(directory: string, needles: readonly Needle[]): LeakSearch {
  const found: LeakSearch = { files: 0, bytes: 0, leaks: [] };
  for (const entry of listFiles(directory)) {
    const name = Buffer.from(entry.path, 'latin1').toString();
    const content = ifThere(() => fs.readFileSync(path.join(directory, name)));
    if (content === null) continue;
    found.files += 1;
    found.bytes += content.length;
    searchLayer(content, 'plain', needles, (leak) => found.leaks.push({ file: name, ...leak }));
  }
  return found;
}

function searchLayer(
  bytes: Buffer,
  layer: string,
  needles: readonly Needle[],
  report: (leak: Omit<Leak, 'file'>) => void,
): void {
  for (const needle of needles) {
    const at = bytes.indexOf(needle.bytes);
    if (at >= 0) report({ what: needle.what, layer, at });
  }
  const armorAt = bytes.indexOf(armor);
  if (armorAt >= 0) report({ what: 'armored secret key', layer, at: armorAt });
  for (const { at, what } of findSecretKeyPackets(bytes)) report({ what, layer, at });
  if (layer.split(' > ').length >= layersMax) return;
  for (const { name, content } of unpacked(bytes)) {
    searchLayer(content, `${layer} > ${name}`, needles, report);
  }
}

function* unpacked(bytes: Buffer): Generator<{ name: string; content: Buffer }> {
  const maxOutputLength = unpackedBytesMax;
  for (const at of everyIndexOf(bytes, zstdMagic)) {
    const content = attempt(() =>
      zlib.zstdDecompressSync(bytes.subarray(at), {
        maxOutputLength,
        finishFlush: zlib.constants.ZSTD_e_flush,
      }),
    );
    if (content !== null) yield { name: `zstd at ${at}`, content };
  }
  for (const at of everyIndexOf(bytes, gzipMagic)) {
    // not gunzip: that fails on what comes after the stream
    const content = attempt(() =>
      zlib.inflateRawSync(bytes.subarray(afterGzipHeader(bytes, at)), {
        maxOutputLength,
        finishFlush: zlib.constants.Z_SYNC_FLUSH,
      }),
    );
    if (content !== null) yield { name: `gzip at ${at}`, content };
  }
  for (const run of bytes.toString('latin1').matchAll(base64Run)) {
    yield { name: `base64 at ${run.index}`, content: Buffer.from(run[0], 'base64') };
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc1952#section-2.3 */
function afterGzipHeader(bytes: Buffer, at: number): number {
  const flags = bytes[at + 3] ?? 0;
  let end = at + 10;
  if ((flags & 4) !== 0) end += 2 + (bytes[end] ?? 0) + 256 * (bytes[end + 1] ?? 0);
  for (const text of [8, 16]) if ((flags & text) !== 0) end = bytes.indexOf(0, end) + 1;
  return (flags & 2) !== 0 ? end + 2 : end;
}

/** What the function gives; null where the bytes only looked like a stream. */
function attempt(unpack: () => Buffer): Buffer | null {
  try {
    const content = unpack();
    return content.length > 0 ? content : null;
  } catch {
    return null;
  }
}

function* everyIndexOf(bytes: Buffer, magic: Buffer): Generator<number> {
  for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) yield at;
}
