import { CodedError } from '../errors/coded-error.ts';
import { limits } from './limits.ts';
import type { MessageDefinition } from './message-definition.ts';

/** `item`: position in the want; `offset`: of these bytes in the file. */
export type ContentPart = { item: number; offset: number; bytes: Buffer };

/**
 * Who has content to who asked: parts of the wanted ranges, each range in ascending order without gaps. Many small files share
 * a message. Decoded bytes are views into the message.
 */
export type Content = { requestId: number; parts: ContentPart[] };

const headerBytes = 7;
const partHeaderBytes = 14;

function headersBytes(parts: number): number {
  return headerBytes + parts * partHeaderBytes;
}

function writeHeaders(message: Buffer, requestId: number, parts: readonly ContentPart[]): void {
  message[0] = 0x11;
  message.writeUInt32BE(requestId, 1);
  message.writeUInt16BE(parts.length, 5);
  let at = headerBytes;
  for (const part of parts) {
    message.writeUInt16BE(part.item, at);
    message.writeBigUInt64BE(BigInt(part.offset), at + 2);
    message.writeUInt32BE(part.bytes.length, at + 10);
    at += partHeaderBytes;
  }
}

const violation = (what: string): never => {
  throw new CodedError('PROTOCOL_VIOLATION', `content is malformed (${what})`);
};

export const contentMessage: MessageDefinition<'content', Content> = {
  name: 'content',
  typeByte: 0x11,
  description:
    'type u8; requestId u32; count u16 (1..1024); count times: item u16 (0..1023), offset u64 (0..2^53-1), length u32 (1..1 MiB); ' +
    'the raw bytes of all parts, 1 MiB at most together; integers big-endian',
  encode({ requestId, parts }) {
    const rawBytes = parts.reduce((sum, part) => sum + part.bytes.length, 0);
    if (
      parts.length < 1 ||
      parts.length > limits.contentPartsMax ||
      rawBytes > limits.contentMessageBytesMax
    ) {
      throw new RangeError(`content of ${parts.length} parts, ${rawBytes} bytes does not fit a message`);
    }
    const message = Buffer.allocUnsafeSlow(headersBytes(parts.length) + rawBytes);
    writeHeaders(message, requestId, parts);
    let at = headersBytes(parts.length);
    for (const part of parts) at += part.bytes.copy(message, at);
    return message;
  },
  decode(wire) {
    const message = Buffer.from(wire.buffer, wire.byteOffset, wire.byteLength);
    if (message.length < headerBytes) violation('shorter than its header');
    const count = message.readUInt16BE(5);
    if (count < 1 || count > limits.contentPartsMax) violation(`${count} parts`);
    let at = headerBytes;
    let bytesAt = headerBytes + count * partHeaderBytes;
    if (bytesAt > message.length) violation('shorter than its headers');
    const parts: ContentPart[] = [];
    for (let part = 0; part < count; part += 1) {
      const item = message.readUInt16BE(at);
      const offset = message.readBigUInt64BE(at + 2);
      const length = message.readUInt32BE(at + 10);
      at += partHeaderBytes;
      if (item >= limits.wantItemsMax) violation(`item ${item}`);
      if (offset > BigInt(Number.MAX_SAFE_INTEGER)) violation('offset above 2^53-1');
      if (length < 1 || length > message.length - bytesAt) violation(`part of ${length} bytes`);
      parts.push({ item, offset: Number(offset), bytes: message.subarray(bytesAt, bytesAt + length) });
      bytesAt += length;
    }
    if (bytesAt !== message.length) violation('bytes behind its parts');
    if (message.length - headerBytes - count * partHeaderBytes > limits.contentMessageBytesMax) {
      violation('too many bytes');
    }
    return { requestId: message.readUInt32BE(1), parts };
  },
};

/**
 * Puts content messages together, one at a time, in memory that is taken once and used again: the bytes are read to where
 * they lie in the message.
 */
export class ContentWriter {
  readonly #memory = Buffer.allocUnsafeSlow(
    headersBytes(limits.contentPartsMax) + limits.contentMessageBytesMax,
  );
  #parts: ContentPart[] = [];
  #end = headersBytes(limits.contentPartsMax);

  /** Parts of the open message. */
  get partCount(): number {
    return this.#parts.length;
  }

  /** Where the bytes of the next part go; as long as the message has room. */
  get room(): Buffer {
    return this.#memory.subarray(this.#end);
  }

  /** Adds what the first `length` bytes of `room` hold by now. */
  add(item: number, offset: number, length: number): void {
    this.#parts.push({ item, offset, bytes: this.room.subarray(0, length) });
    this.#end += length;
  }

  /** The message, which is over by that; it is valid until something is written to `room`. */
  take(requestId: number): Buffer {
    const headers = headersBytes(this.#parts.length);
    const start = headersBytes(limits.contentPartsMax) - headers;
    const message = this.#memory.subarray(start, this.#end);
    writeHeaders(message, requestId, this.#parts);
    this.#parts = [];
    this.#end = headersBytes(limits.contentPartsMax);
    return message;
  }
}
