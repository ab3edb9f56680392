import { setTimeout as delay } from 'node:timers/promises';
import { beforeEach, expect, it } from 'vitest';
import { ServeSession } from '../../agent/serve/serve-session.ts';
import type { CodedError } from '../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { decodeMessage, encodeMessage, type Message } from '../../shared/protocol/codec.ts';
import { limits } from '../../shared/protocol/limits.ts';
import { recordsWireBytesMax } from '../../shared/protocol/records.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { unpaced } from '../../shared/transfer/send-pace.ts';
import { noPoints } from '../support/no-points.ts';
import { createChannelPair, type ChannelPairOptions } from '../support/channel-pair.ts';
import { FakeFolderFeed } from '../support/fake-folder-feed.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { until } from '../support/until.ts';

const mib = 1024 * 1024;
const hello: Message = {
  type: 'hello',
  protocolVersions: [1],
  program: 'hostile',
  programVersion: '6.6.6',
  deviceRole: 'receiver',
};

let feed: FakeFolderFeed;
let feeds: FakeFolderFeed[];
let receiver: Channel;
let ended: Promise<CodedError | null>;

function connect(options: ChannelPairOptions = {}): void {
  const [agentSide, receiverSide] = createChannelPair(options);
  receiver = receiverSide;
  const folders = { list: () => feeds, onChange: () => () => {} };
  const session = new ServeSession(
    { channel: agentSide, folders, points: noPoints, pace: unpaced, logger: silentLogger },
    { programVersion: '0.0.0' },
  );
  ended = session.run();
}

beforeEach(() => {
  feed = new FakeFolderFeed();
  feeds = [feed];
  feed.write('a', 'announced');
  feed.write('large', seededBytes('large', 3 * mib));
  feed.scan();
  connect();
});

async function say(...messages: Message[]): Promise<void> {
  for (const message of messages) await receiver.send(encodeMessage(message)).catch(() => {});
}

async function heard<Type extends Message['type']>(type: Type): Promise<Extract<Message, { type: Type }>> {
  for (;;) {
    const bytes = await receiver.receive();
    if (bytes === null) throw new Error(`the link ended before ${type}`);
    const message = decodeMessage(bytes);
    if (message.type === type) return message as Extract<Message, { type: Type }>;
  }
}

function wanted(name: string, more: { offset?: number; length?: number; hash?: Buffer } = {}) {
  const path = parseTypedPath(name);
  const state = feed.recordAt(path)?.state;
  const hash = state?.kind === 'file' ? state.hash : Buffer.alloc(32);
  const length = state?.kind === 'file' ? state.size : 1;
  return { path, hash, offset: 0, length, ...more };
}

it('never opens a path that is not announced as a live file with that hash', async () => {
  feed.write('ignored', 'secret');
  feed.write('later', 'secret');
  feed.remove('removed');
  const { hash } = wanted('a');
  await say(hello, {
    type: 'want',
    requestId: 1,
    folder: 'media',
    items: [wanted('ignored', { hash }), wanted('etc/passwd'), wanted('a', { hash: Buffer.alloc(32, 1) })],
  });
  const reasons = [await heard('gone'), await heard('gone'), await heard('gone')];
  expect(reasons.map(({ reason }) => reason)).toEqual(['vanished', 'vanished', 'changed']);
  expect(feed.opened).toEqual([]);
  await say({
    type: 'wantChunks',
    requestId: 2,
    folder: 'media',
    path: parseTypedPath('ignored'),
    hash,
    from: 0,
  });
  expect((await heard('gone')).reason).toBe('vanished');
  expect(feed.opened).toEqual([]);
});

it('gives what is announced, in the ranges that were asked for', async () => {
  await say(hello, {
    type: 'want',
    requestId: 1,
    folder: 'media',
    items: [wanted('a', { offset: 2, length: 3 })],
  });
  const { parts } = await heard('content');
  expect(parts).toEqual([{ item: 0, offset: 2, bytes: Buffer.from('nou') }]);
});

it('answers a small request while a large one is under way', async () => {
  const large = seededBytes('huge', 24 * mib);
  feed.write('huge', large);
  feed.scan();
  await say(
    hello,
    { type: 'want', requestId: 1, folder: 'media', items: [wanted('huge')] },
    { type: 'want', requestId: 2, folder: 'media', items: [wanted('a')] },
  );
  let bytesBefore = 0;
  for (;;) {
    const { requestId, parts } = await heard('content');
    if (requestId === 2) break;
    for (const { bytes } of parts) bytesBefore += bytes.length;
  }
  expect(bytesBefore).toBeLessThanOrEqual(3 * mib);
});

it('gives exactly the bytes of a large range, in messages of at most 1 MiB', async () => {
  const offset = 100_000;
  const length = 2 * mib;
  await say(hello, {
    type: 'want',
    requestId: 1,
    folder: 'media',
    items: [wanted('large', { offset, length })],
  });
  const got: Buffer[] = [];
  for (let bytes = 0; bytes < length;) {
    for (const part of (await heard('content')).parts) {
      expect(part.offset).toBe(offset + bytes);
      got.push(Buffer.from(part.bytes));
      bytes += part.bytes.length;
    }
  }
  expect(Buffer.concat(got).equals(seededBytes('large', 3 * mib).subarray(offset, offset + length))).toBe(
    true,
  );
});

it('marks a file that changed behind the index before it says so, and sends none of it', async () => {
  feed.source.set(parseTypedPath('a'), Buffer.from('ANNOUNCED'));
  const order: string[] = [];
  const marked = feed.markDirty.bind(feed);
  feed.markDirty = async (path) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    await marked(path);
    order.push('marked');
  };
  await say(hello, { type: 'want', requestId: 1, folder: 'media', items: [wanted('a')] });
  expect((await heard('gone')).reason).toBe('changed');
  order.push('gone');
  expect(order).toEqual(['marked', 'gone']);
});

it.each<[string, () => Message[]]>([
  [
    'ranges behind the end',
    () => [{ type: 'want', requestId: 1, folder: 'media', items: [wanted('a', { length: 10 })] }],
  ],
  [
    'one request id twice',
    () => [1, 1].map((requestId) => ({ type: 'want', requestId, folder: 'media', items: [wanted('large')] })),
  ],
  [
    'a page behind the end of a chunk list',
    () => [
      {
        type: 'wantChunks',
        requestId: 1,
        folder: 'media',
        path: parseTypedPath('large'),
        hash: wanted('large').hash,
        from: 1e9,
      },
    ],
  ],
  [
    'durable for what was never sent',
    () => [
      { type: 'subscribe', folder: 'media', indexId: feed.indexId(), position: null },
      { type: 'durable', folder: 'media', indexId: feed.indexId(), sequence: 99, token: Buffer.alloc(32) },
    ],
  ],
  [
    'a folder that was never offered',
    () => [{ type: 'subscribe', folder: 'other', indexId: feed.indexId(), position: null }],
  ],
  [
    'records of its own',
    () => [{ type: 'records', folder: 'media', indexId: feed.indexId(), records: [], checkpoint: null }],
  ],
  [
    'a browse',
    () => [{ type: 'browse', requestId: 1, folder: null, at: null, between: null, after: null, limit: 1 }],
  ],
])('ends the link on %s', async (_, messages) => {
  await say(hello);
  await heard('offer');
  await say(...messages());
  expect((await ended)?.code).toBe('PROTOCOL_VIOLATION');
});

it('ends the link on more than 32 MiB asked for at once', async () => {
  // nothing is given, so that all of it stays asked for
  connect({ onMessage: (message) => (message[0] === 0x11 ? new Promise(() => {}) : message) });
  await say(hello);
  const items = Array.from({ length: 16 }, () => wanted('large', { length: mib }));
  await say({ type: 'want', requestId: 1, folder: 'media', items });
  await say({ type: 'want', requestId: 2, folder: 'media', items });
  await say({ type: 'want', requestId: 4, folder: 'media', items: [wanted('a')] });
  expect((await ended)?.message).toContain('asked for at once');
});

it('ends the link on content of a folder that is not offered', async () => {
  await say(hello, { type: 'want', requestId: 1, folder: 'other', items: [wanted('a')] });
  expect((await ended)?.code).toBe('FOLDER_UNKNOWN');
});

it('gives a device nothing whose pairing is for restores', async () => {
  connect({ secondGrant: { role: 'restore', agentId: 'AGENT' as DeviceId } });
  await say(hello);
  expect((await ended)?.code).toBe('ROLE_REFUSED');
});

it('renews the index once for a position that it never gave out, and ignores answers to the old offer', async () => {
  await say(hello);
  await heard('offer');
  const indexId = feed.indexId();
  const position = { indexId, sequence: 1, token: Buffer.alloc(32, 9) };
  const subscribe: Message = { type: 'subscribe', folder: 'media', indexId, position };
  await say(subscribe, subscribe);
  const renewed = (await heard('offer')).folders[0]?.indexId ?? indexId;
  expect(renewed.equals(indexId)).toBe(false);
  expect(feed.renewals.length).toBe(1);
  await say({ ...subscribe, indexId: renewed });
  expect((await heard('records')).records.map(({ path }) => path)).toEqual(['a', 'large']);
});

it('ends the link on more requests than may be open, also when nothing is read any more', async () => {
  connect({ onMessage: (message) => (message[0] === 0x14 ? new Promise(() => {}) : message) });
  const { hash, path } = wanted('large');
  await say(hello);
  for (let requestId = 0; requestId < limits.requestsInFlightMax + 2; requestId += 1) {
    await say({ type: 'wantChunks', requestId, folder: 'media', path, hash, from: 0 });
  }
  expect((await ended)?.code).toBe('PROTOCOL_VIOLATION');
});

it('announces a bounded amount over all folders to a receiver that makes nothing durable', async () => {
  feeds = Array.from({ length: 10 }, (_, n) => new FakeFolderFeed(`f${n}`));
  for (const each of feeds) {
    each.batchRecords = 1024;
    for (let n = 0; n < 3072; n += 1) each.write(`${`${'x'.repeat(250)}/`.repeat(12)}${n}`, 'x');
    each.scan();
  }
  connect();
  await say(hello);
  await heard('offer');
  for (const each of feeds) {
    await say({ type: 'subscribe', folder: each.folderId, indexId: each.indexId(), position: null });
  }
  let announcedBytes = 0;
  const gathering = (async () => {
    for (let bytes = await receiver.receive(); bytes !== null; bytes = await receiver.receive()) {
      const message = decodeMessage(bytes);
      if (message.type === 'records') announcedBytes += recordsWireBytesMax(message.records);
    }
  })();
  await until('much is announced', () => announcedBytes > limits.recordBytesInFlightMax / 2);
  for (let before = -1; before !== announcedBytes; await delay(1000)) before = announcedBytes;
  expect(announcedBytes).toBeLessThanOrEqual(limits.recordBytesInFlightMax);
  receiver.close();
  await gathering;
});
