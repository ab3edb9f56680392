import { Encoder } from 'cbor-x';
import { CodedError } from '../errors/coded-error.ts';
import { limits } from './limits.ts';

const cbor = new Encoder({
  useRecords: false,
  mapsAsObjects: true,
  structuredClone: false,
  tagUint8Array: false,
  variableMapSize: true,
  largeBigIntToFloat: false,
});

/** Encodes plain data: objects, arrays, text, byte strings, integers (those above 32 bits as bigint), booleans and null. */
export function encodePlainCbor(value: unknown): Buffer {
  return cbor.encode(value);
}

/**
 * Decodes what `encodePlainCbor` makes and nothing else: tags (and with them cbor-x's records, structures and classes),
 * floats, undefined, indefinite lengths and keys that are not text are refused, and depth, count and every length are
 * checked, before the decoder allocates anything.
 * @throws CodedError PROTOCOL_VIOLATION
 * @see https://www.rfc-editor.org/rfc/rfc8949
 */
export function decodePlainCbor(bytes: Uint8Array): unknown {
  checkPlainCbor(bytes);
  try {
    return cbor.decode(bytes);
  } catch (cause) {
    throw new CodedError('PROTOCOL_VIOLATION', 'message body is not CBOR', { cause });
  }
}

const refuse = (what: string, at: number): never => {
  throw new CodedError('PROTOCOL_VIOLATION', `message body has ${what} at byte ${at}`);
};

/** Walks the items of exactly one CBOR value with an explicit stack of how many items each open container still misses. */
function checkPlainCbor(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const missing: number[] = [1];
  const isMap: boolean[] = [false];
  let position = 0;
  let items = 0;
  while (missing.length > 0) {
    const top = missing.length - 1;
    const left = missing[top] ?? 0;
    if (left === 0) {
      missing.pop();
      isMap.pop();
      continue;
    }
    missing[top] = left - 1;
    items += 1;
    if (items > limits.cborItemsMax) refuse('too many items', position);
    if (position >= bytes.length) refuse('its end too early', position);
    const start = position;
    const initial = bytes[position] ?? 0;
    const major = initial >> 5;
    const info = initial & 0x1f;
    position += 1;
    if (isMap[top] === true && left % 2 === 0 && major !== 3) refuse('a key that is not text', start);
    if (major === 7) {
      if (info < 20 || info > 22) refuse('a float or an unknown simple value', start);
      continue;
    }
    if (major === 6) refuse('a tag', start);
    if (info > 27) refuse('an indefinite length', start);
    const argumentBytes = info < 24 ? 0 : 1 << (info - 24);
    if (position + argumentBytes > bytes.length) refuse('its end too early', position);
    const argument = readArgument(view, position, info);
    position += argumentBytes;
    if (major <= 1) continue;
    const rest = bytes.length - position;
    if (major <= 3) {
      if (argument > rest) refuse('a string longer than the message', start);
      position += argument;
      continue;
    }
    const children = major === 4 ? argument : argument * 2;
    if (children > rest) refuse('a container longer than the message', start);
    if (missing.length > limits.cborDepthMax) refuse('too deep nesting', start);
    missing.push(children);
    isMap.push(major === 5);
  }
  if (position !== bytes.length) refuse('bytes behind its value', position);
}

function readArgument(view: DataView, position: number, info: number): number {
  if (info < 24) return info;
  if (info === 24) return view.getUint8(position);
  if (info === 25) return view.getUint16(position);
  if (info === 26) return view.getUint32(position);
  return view.getUint32(position) * 2 ** 32 + view.getUint32(position + 4);
}
