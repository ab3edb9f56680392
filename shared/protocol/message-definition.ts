import { z } from 'zod';
import { CodedError } from '../errors/coded-error.ts';
import { limits } from './limits.ts';
import { decodePlainCbor, encodePlainCbor } from './plain-cbor.ts';

/** How one kind of message looks on the wire: a type byte, then the body. */
export type MessageDefinition<Name extends string, Body> = {
  readonly name: Name;
  readonly typeByte: number;
  /** What the schema hash is made of: a JSON Schema, or the layout in words. */
  readonly description: unknown;
  /** The whole message. A body that the schema refuses is a programmer's error and throws a ZodError. */
  encode(body: Body): Buffer;
  /** @throws CodedError PROTOCOL_VIOLATION */
  decode(bytes: Uint8Array): Body;
};

/** A message whose body is CBOR of `schema`'s wire side. */
export function defineMessage<Name extends string, Schema extends z.ZodType>(
  name: Name,
  typeByte: number,
  schema: Schema,
): MessageDefinition<Name, z.output<Schema>> {
  return {
    name,
    typeByte,
    description: z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }),
    encode(body) {
      const encoded = encodePlainCbor(z.encode(schema, body));
      const message = Buffer.allocUnsafe(1 + encoded.length);
      message[0] = typeByte;
      encoded.copy(message, 1);
      if (message.length > limits.messageBytesMax) {
        throw new RangeError(`${name} of ${message.length} bytes is longer than a message may be`);
      }
      return message;
    },
    decode(bytes) {
      const parsed = z.safeDecode(schema, decodePlainCbor(bytes.subarray(1)) as z.input<Schema>);
      if (parsed.success) return parsed.data;
      const issue = parsed.error.issues[0];
      const where = issue === undefined ? '' : `${issue.path.join('.')}: ${issue.message}`;
      throw new CodedError('PROTOCOL_VIOLATION', `${name} is malformed (${where})`);
    },
  };
}
