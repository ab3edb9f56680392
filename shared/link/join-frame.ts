import { Encoder } from 'cbor-x';
import { z } from 'zod';
import { CodedError } from '../errors/coded-error.ts';
import { deviceIdFromBytes, encodeDeviceId } from '../identity/device-id.ts';
import type { JoinRequest } from './peer-book.ts';
import type { PeerGrant } from './peer.ts';

/** What the inviter answers to a proven secret; everything else gets no answer at all. */
export type JoinAnswer = { paired: PeerGrant } | { refused: string };

const lengthBytes = 2;
const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, tagUint8Array: false });

const idBytesSchema = z.instanceof(Uint8Array).refine((bytes) => bytes.length === 32);
const requestSchema = z.strictObject({
  secret: z.instanceof(Uint8Array).refine((bytes) => bytes.length === 16),
  role: z.enum(['agent', 'receiver', 'restorer']),
  addresses: z.array(z.string().max(300)).max(8),
  agentId: idBytesSchema.nullable(),
});
const answerSchema = z.union([
  z.strictObject({ paired: z.literal('replica') }),
  z.strictObject({ paired: z.literal('restore'), agentId: idBytesSchema }),
  z.strictObject({ refused: z.string().max(64) }),
]);

/** The one frame that a joining device sends: two bytes of length (big-endian), then CBOR. */
export function encodeJoinRequest(request: JoinRequest): Buffer {
  return frame({
    ...request,
    secret: Buffer.from(request.secret),
    agentId: request.agentId === null ? null : encodeDeviceId(request.agentId),
  });
}

/** @throws CodedError PROTOCOL_VIOLATION */
export function decodeJoinRequest(body: Buffer): JoinRequest {
  const request = decode(body, requestSchema);
  return { ...request, agentId: request.agentId === null ? null : deviceIdFromBytes(request.agentId) };
}

export function encodeJoinAnswer(answer: JoinAnswer): Buffer {
  if ('refused' in answer) return frame(answer);
  const { paired } = answer;
  return frame(
    paired.role === 'replica'
      ? { paired: 'replica' }
      : { paired: 'restore', agentId: encodeDeviceId(paired.agentId) },
  );
}

/** @throws CodedError PROTOCOL_VIOLATION */
export function decodeJoinAnswer(body: Buffer): JoinAnswer {
  const answer = decode(body, answerSchema);
  if ('refused' in answer) return answer;
  if (answer.paired === 'replica') return { paired: { role: 'replica' } };
  return { paired: { role: 'restore', agentId: deviceIdFromBytes(answer.agentId) } };
}

/**
 * The body of the frame that `received` begins with, or null while more of it must come.
 * @throws CodedError PROTOCOL_VIOLATION (announced as longer than `bytesMax` with its length, or followed by more)
 */
export function splitJoinFrame(received: Buffer, bytesMax: number): Buffer | null {
  if (received.length < lengthBytes) return null;
  const length = lengthBytes + received.readUInt16BE(0);
  if (length > bytesMax) throw violation(`a join frame of ${length} bytes is longer than ${bytesMax}`);
  if (received.length > length) throw violation('something follows the join frame');
  return received.length < length ? null : received.subarray(lengthBytes);
}

function frame(value: unknown): Buffer {
  const body = cbor.encode(value);
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt16BE(body.length);
  return Buffer.concat([length, body]);
}

function decode<T>(body: Buffer, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = cbor.decode(body);
  } catch (cause) {
    throw violation('a join frame is not CBOR', cause);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw violation('a join frame has other fields than it should', parsed.error);
  return parsed.data;
}

function violation(message: string, cause?: unknown): CodedError {
  return new CodedError('PROTOCOL_VIOLATION', message, { cause });
}
