import fc from 'fast-check';
import { expect, it } from 'vitest';
import { deviceIdFromBytes } from '../../shared/identity/device-id.ts';
import {
  decodeJoinAnswer,
  decodeJoinRequest,
  encodeJoinAnswer,
  encodeJoinRequest,
  splitJoinFrame,
} from '../../shared/link/join-frame.ts';
import type { JoinRequest } from '../../shared/link/peer-book.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const deviceId = bytes(32).map(deviceIdFromBytes);
const request: fc.Arbitrary<JoinRequest> = fc.record({
  secret: bytes(16).map((secret) => Buffer.from(secret)),
  role: fc.constantFrom('agent', 'receiver', 'restorer'),
  addresses: fc.array(fc.string({ maxLength: 60 }), { maxLength: 8 }),
  agentId: fc.option(deviceId),
});
const violation = expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }) as unknown;

it('comes back as it was, in however many pieces it arrives', () => {
  fc.assert(
    fc.property(request, fc.nat(), (original, cut) => {
      const frame = encodeJoinRequest(original);
      expect(splitJoinFrame(frame.subarray(0, cut % frame.length), 65_536)).toBeNull();
      const body = splitJoinFrame(frame, 65_536);
      expect(decodeJoinRequest(body ?? Buffer.alloc(0))).toEqual(original);
    }),
  );
});

it('is refused as soon as it announces too much, or when more follows', () => {
  expect(() => splitJoinFrame(Buffer.from([0x03, 0xff]), 1024)).toThrowError(violation);
  expect(splitJoinFrame(Buffer.from([0x03, 0xfe]), 1024)).toBeNull();
  expect(() => splitJoinFrame(Buffer.from([0, 1, 0, 0]), 1024)).toThrowError(violation);
});

it('is refused when it is garbage, never anything worse', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
      expect(() => decodeJoinRequest(Buffer.from(garbage))).toThrowError(violation);
      expect(() => decodeJoinAnswer(Buffer.from(garbage))).toThrowError(violation);
    }),
  );
});

it('answers with the grant or with a refusal', () => {
  const agentId = deviceIdFromBytes(Buffer.alloc(32, 1));
  for (const answer of [
    { paired: { role: 'replica' as const } },
    { paired: { role: 'restore' as const, agentId } },
    { refused: 'ROLE_REFUSED' },
  ]) {
    const body = splitJoinFrame(encodeJoinAnswer(answer), 1024);
    expect(decodeJoinAnswer(body ?? Buffer.alloc(0))).toEqual(answer);
  }
});
