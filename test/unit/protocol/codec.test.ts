import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isCoded } from '../../../shared/errors/coded-error.ts';
import { decodeMessage, encodeMessage, messageDefinitions } from '../../../shared/protocol/codec.ts';
import { anyMessage } from '../../support/arbitrary-message.ts';

it('decodes every message to what was encoded', () => {
  fc.assert(
    fc.property(anyMessage, (message) => {
      expect(decodeMessage(encodeMessage(message))).toEqual(message);
    }),
    { numRuns: 1000 },
  );
});

const decodeOrViolation = (bytes: Uint8Array): void => {
  try {
    decodeMessage(bytes);
  } catch (error) {
    if (!isCoded(error, 'PROTOCOL_VIOLATION')) throw error;
  }
};

it('answers random bytes with a message or a PROTOCOL_VIOLATION and nothing else', () => {
  const types = Object.values(messageDefinitions).map((definition) => definition.typeByte);
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 200 }), (type, rest) => {
      decodeOrViolation(Uint8Array.of(type, ...rest));
    }),
    { numRuns: 5000 },
  );
});

it('answers a damaged message with a message or a PROTOCOL_VIOLATION and nothing else', () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(anyMessage, damage, fc.nat(), (message, changes, cut) => {
      const bytes = encodeMessage(message);
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      decodeOrViolation(bytes);
      decodeOrViolation(bytes.subarray(0, cut % (bytes.length + 1)));
    }),
    { numRuns: 2000 },
  );
});
