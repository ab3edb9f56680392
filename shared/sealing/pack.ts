import assert from 'node:assert/strict';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { CodedError } from '../errors/coded-error.ts';
import { padmeLength } from './padme.ts';
import { sealedLimits } from './sealed-limits.ts';

const dataMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;
const skippableHeaderBytes = 8;
const checksumBytes = 4;

/** `fast` keeps up with a source; `thorough` makes about 8 % less of rows of a database, at a third of the speed. */
export type PackEffort = 'fast' | 'thorough';

const compressionLevels: Record<PackEffort, number> = { fast: 2, thorough: 6 };

/**
 * The content of a pack, in pieces: the chunks one after the other as one zstd data frame (checksum, content size), then
 * one skippable frame of zeros that brings the whole to a Padmé length. `chunks`: 1 byte to 16 MiB.
 * @see docs/sealed-format.md#packs and RFC 8878 §3.1
 */
export function packContent(chunks: Uint8Array, effort: PackEffort): Uint8Array[] {
  if (chunks.length === 0 || chunks.length > sealedLimits.packPlainBytesMax) {
    throw new RangeError(`a pack holds 1 to ${sealedLimits.packPlainBytesMax} bytes, not ${chunks.length}`);
  }
  const frame = zstdCompressSync(chunks, {
    // All in one piece of output, with room to spare (chunks that do not compress grow by 3 bytes a block of 128 KiB): behind a
    // frame that fills a piece to its last byte, Node 24 begins another, empty one.
    chunkSize: chunks.length + (chunks.length >> 8) + 1024,
    params: {
      [constants.ZSTD_c_compressionLevel]: compressionLevels[effort],
      [constants.ZSTD_c_checksumFlag]: 1,
      [constants.ZSTD_c_contentSizeFlag]: 1,
    },
    pledgedSrcSize: chunks.length,
  });
  // what is sealed nobody here can look at again
  assert(readFrame(frame).end === frame.length, 'the compressor gave something else than one frame');
  const least = frame.length + skippableHeaderBytes;
  const padding = Buffer.alloc(padmeLength(least) - frame.length);
  padding.writeUInt32LE(skippableMagic, 0);
  padding.writeUInt32LE(padding.length - skippableHeaderBytes, 4);
  return [frame, padding];
}

/** `packContent` in one piece. */
export function encodePack(chunks: Uint8Array, effort: PackEffort): Buffer {
  return Buffer.concat(packContent(chunks, effort));
}

/**
 * The chunks of a pack's content. Exactly one data frame with checksum and content size, then exactly one skippable
 * frame up to the end; anything else is refused before memory is taken for it.
 * @throws CodedError PACK_CORRUPT
 */
export function decodePack(content: Uint8Array): Buffer {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const frame = readFrame(bytes);
  checkPadding(bytes.subarray(frame.end));
  let chunks: Buffer;
  try {
    // all at once: by default the output comes in pieces of 16 KiB, which are then put together
    const options = { maxOutputLength: frame.plainBytes, chunkSize: Math.max(64, frame.plainBytes) };
    chunks = zstdDecompressSync(bytes.subarray(0, frame.end), options);
  } catch (cause) {
    throw new CodedError('PACK_CORRUPT', 'the data frame of a pack cannot be decompressed', { cause });
  }
  if (chunks.length !== frame.plainBytes) {
    throw corrupt(`the data frame holds ${chunks.length} bytes and says ${frame.plainBytes}`);
  }
  return chunks;
}

/** Walks the frame header and the block headers (RFC 8878 §3.1.1) without decompressing. */
function readFrame(bytes: Buffer): { end: number; plainBytes: number } {
  const at = (offset: number, length: number): number => {
    if (offset + length > bytes.length) throw corrupt('the data frame is cut off');
    return bytes.readUIntLE(offset, length);
  };
  if (at(0, 4) !== dataMagic) throw corrupt('it does not begin with a zstd data frame');
  const descriptor = at(4, 1);
  const sizeFlag = descriptor >> 6;
  const singleSegment = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x0f) !== 0x04) {
    throw corrupt('the data frame has no checksum, a dictionary or reserved bits');
  }
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 2 ** sizeFlag;
  if (sizeBytes === 0) throw corrupt('the data frame does not tell its content size');
  const sizeAt = singleSegment ? 5 : 6;
  if (sizeBytes === 8 && at(sizeAt + 4, 4) !== 0) throw corrupt('the data frame is too large');
  const plainBytes = at(sizeAt, Math.min(sizeBytes, 4)) + (sizeBytes === 2 ? 256 : 0);
  if (plainBytes === 0 || plainBytes > sealedLimits.packPlainBytesMax) {
    throw corrupt(`the data frame says ${plainBytes} bytes, a pack holds 1 to 16 MiB`);
  }
  let offset = sizeAt + sizeBytes;
  for (let last = false; !last;) {
    const header = at(offset, 3);
    const type = (header >> 1) & 3;
    if (type === 3) throw corrupt('the data frame has a reserved block type');
    last = (header & 1) === 1;
    offset += 3 + (type === 1 ? 1 : header >> 3);
  }
  const end = offset + checksumBytes;
  if (end > bytes.length) throw corrupt('the data frame is cut off');
  return { end, plainBytes };
}

function checkPadding(padding: Buffer): void {
  if (padding.length < skippableHeaderBytes || padding.readUInt32LE(0) !== skippableMagic) {
    throw corrupt('the data frame is not followed by a skippable frame');
  }
  if (padding.readUInt32LE(4) !== padding.length - skippableHeaderBytes) {
    throw corrupt('the skippable frame does not reach exactly to the end');
  }
}

function corrupt(why: string): CodedError {
  return new CodedError('PACK_CORRUPT', `the content of a pack does not follow the format: ${why}`);
}
