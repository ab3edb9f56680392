import { CodedError } from '../errors/coded-error.ts';
import { browseMessage, type Browse } from './browse.ts';
import { browseLackingMessage, type BrowseLacking } from './browse-lacking.ts';
import { browsePointsMessage, type BrowsePoints } from './browse-points.ts';
import { chunksMessage, type Chunks } from './chunks.ts';
import { contentMessage, type Content } from './content.ts';
import { durableMessage, type Durable } from './durable.ts';
import { entriesMessage, type Entries } from './entries.ts';
import { goneMessage, type Gone } from './gone.ts';
import { heldPointsMessage, type HeldPoints } from './held-points.ts';
import { helloMessage, type Hello } from './hello.ts';
import { indexEndMessage, type IndexEnd } from './index-end.ts';
import { lackingPathsMessage, type LackingPaths } from './lacking-paths.ts';
import { limits } from './limits.ts';
import { missingMessage, type Missing } from './missing.ts';
import { offerMessage, type Offer } from './offer.ts';
import { pointMessage, type Point } from './point.ts';
import { pointTakenMessage, type PointTaken } from './point-taken.ts';
import { recordsMessage, type Records } from './records.ts';
import { refuseMessage, type Refuse } from './refuse.ts';
import { subscribeMessage, type Subscribe } from './subscribe.ts';
import { wantChunksMessage, type WantChunks } from './want-chunks.ts';
import { wantMessage, type Want } from './want.ts';

/** Every message there is, with the name of its kind as `type`. */
export type Message =
  | ({ type: 'hello' } & Hello)
  | ({ type: 'offer' } & Offer)
  | ({ type: 'subscribe' } & Subscribe)
  | ({ type: 'records' } & Records)
  | ({ type: 'indexEnd' } & IndexEnd)
  | ({ type: 'durable' } & Durable)
  | ({ type: 'refuse' } & Refuse)
  | ({ type: 'missing' } & Missing)
  | ({ type: 'point' } & Point)
  | ({ type: 'pointTaken' } & PointTaken)
  | ({ type: 'want' } & Want)
  | ({ type: 'content' } & Content)
  | ({ type: 'gone' } & Gone)
  | ({ type: 'wantChunks' } & WantChunks)
  | ({ type: 'chunks' } & Chunks)
  | ({ type: 'browse' } & Browse)
  | ({ type: 'entries' } & Entries)
  | ({ type: 'browsePoints' } & BrowsePoints)
  | ({ type: 'heldPoints' } & HeldPoints)
  | ({ type: 'browseLacking' } & BrowseLacking)
  | ({ type: 'lackingPaths' } & LackingPaths);

/** The definitions of all messages by name, in the order of their type bytes. */
export const messageDefinitions = {
  hello: helloMessage,
  offer: offerMessage,
  subscribe: subscribeMessage,
  records: recordsMessage,
  indexEnd: indexEndMessage,
  durable: durableMessage,
  refuse: refuseMessage,
  missing: missingMessage,
  point: pointMessage,
  pointTaken: pointTakenMessage,
  want: wantMessage,
  content: contentMessage,
  gone: goneMessage,
  wantChunks: wantChunksMessage,
  chunks: chunksMessage,
  browse: browseMessage,
  entries: entriesMessage,
  browsePoints: browsePointsMessage,
  heldPoints: heldPointsMessage,
  browseLacking: browseLackingMessage,
  lackingPaths: lackingPathsMessage,
} as const;

type AnyDefinition = {
  name: Message['type'];
  encode(body: unknown): Buffer;
  decode(bytes: Uint8Array): object;
};

const byTypeByte = new Map(
  Object.values(messageDefinitions).map((definition) => [
    definition.typeByte,
    definition as unknown as AnyDefinition,
  ]),
);

/** The bytes of a message, type byte first. What the schema refuses is a defect of the program and throws. */
export function encodeMessage(message: Message): Buffer {
  const { type, ...body } = message;
  return (messageDefinitions[type] as unknown as AnyDefinition).encode(body);
}

/**
 * Reads a whole message that came from outside. `content` parts are views into `bytes`, everything else is copied.
 * @throws CodedError PROTOCOL_VIOLATION, and nothing else whatever the bytes are
 */
export function decodeMessage(bytes: Uint8Array): Message {
  if (bytes.length > limits.messageBytesMax) {
    throw new CodedError(
      'PROTOCOL_VIOLATION',
      `message of ${bytes.length} bytes is longer than a message may be`,
    );
  }
  const definition = byTypeByte.get(bytes[0] ?? -1);
  if (definition === undefined) {
    throw new CodedError('PROTOCOL_VIOLATION', `unknown message type ${bytes[0] ?? 'of an empty message'}`);
  }
  return { type: definition.name, ...definition.decode(bytes) } as Message;
}
