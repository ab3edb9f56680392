import { createHash } from 'node:crypto';
import { beforeEach, expect, it } from 'vitest';
import { PullSession } from '../../receiver/pull/pull-session.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { decodeMessage, encodeMessage, type Message } from '../../shared/protocol/codec.ts';
import type { FileRecord, PathState } from '../../shared/records/file-record.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { createChannelPair } from '../support/channel-pair.ts';
import { FakeMirrorStore } from '../support/fake-mirror-store.ts';

const indexId = Buffer.alloc(8, 1);
const token = Buffer.alloc(32, 2);
const mib = 1024 * 1024;
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const content = Buffer.from('content');

const hello: Message = {
  type: 'hello',
  protocolVersions: [1],
  program: 'hostile',
  programVersion: '6.6.6',
  deviceRole: 'agent',
};
const offer: Message = { type: 'offer', folders: [{ id: 'media', kind: 'mirror', indexId }] };

function file(name: string, sequence: number, size = content.length, hash = sha256(content)): FileRecord {
  const state: PathState = { kind: 'file', size, mtimeNs: 0n, mode: 0o644, uid: 0, gid: 0, hash };
  return { path: parseTypedPath(name), sequence, replaces: null, state };
}

function records(list: FileRecord[], through: number | null): Message {
  return {
    type: 'records',
    folder: 'media',
    indexId,
    records: list,
    checkpoint: through === null ? null : { through, token, isHead: true },
  };
}

let store: FakeMirrorStore;
let agent: Channel;
let ended: Promise<CodedError | null>;
let opened: string[];
let blocked: string[];
let placeFor: (folder: string) => boolean;
let storeOpens: Promise<void>;

beforeEach(() => connect());

function connect(answerTimeoutMs = 60_000): void {
  storeOpens = Promise.resolve();
  store = new FakeMirrorStore();
  opened = [];
  blocked = [];
  placeFor = () => true;
  const [agentSide, receiverSide] = createChannelPair();
  agent = agentSide;
  const session = new PullSession(
    {
      channel: receiverSide,
      openStore: async (folder) => {
        opened.push(folder);
        await storeOpens;
        if (!placeFor(folder)) throw new CodedError('QUOTA_REACHED', 'no more folders are taken');
        return folder === 'media' ? store : new FakeMirrorStore();
      },
      takePoint: async () => ({ held: true, code: null }),
      sleep: async () => {},
      onBlocked: (folder, reason) => blocked.push(`${folder} ${reason?.code}`),
      logger: silentLogger,
    },
    { programVersion: '0.0.0', retryDelayMs: 1, answerTimeoutMs },
  );
  ended = session.run();
}

async function say(...messages: Message[]): Promise<void> {
  for (const message of messages) await agent.send(encodeMessage(message)).catch(() => {});
}

/** The receiver's next message of that type. */
async function heard<Type extends Message['type']>(type: Type): Promise<Extract<Message, { type: Type }>> {
  for (;;) {
    const bytes = await agent.receive();
    if (bytes === null) throw new Error(`the link ended before ${type}`);
    const message = decodeMessage(bytes);
    if (message.type === type) return message as Extract<Message, { type: Type }>;
  }
}

async function next(): Promise<Buffer> {
  return (await agent.receive()) ?? expect.unreachable('the link ended');
}

async function subscribed(): Promise<void> {
  await say(hello, offer);
  await heard('subscribe');
}

async function expectEnd(code: string): Promise<void> {
  expect((await ended)?.code).toBe(code);
  const stored = [...store.files.keys()];
  expect(stored.every((path) => path === 'good')).toBe(true);
  expect(store.versions).toEqual([]);
}

it.each<[string, Message[]]>([
  [
    'records of a folder that was not offered',
    [{ ...(records([file('a', 1)], 1) as Extract<Message, { type: 'records' }>), folder: 'other' }],
  ],
  [
    'records of another index',
    [
      {
        ...(records([file('a', 1)], 1) as Extract<Message, { type: 'records' }>),
        indexId: Buffer.alloc(8, 9),
      },
    ],
  ],
  ['sequences that go back', [records([file('a', 2), file('b', 1)], 3)]],
  ['a sequence twice', [records([file('a', 1), file('b', 1)], 3)]],
  ['sequence 0', [records([file('a', 0)], 3)]],
  ['a checkpoint before its records', [records([file('a', 5)], 4)]],
  ['a checkpoint twice', [records([], 1), records([], 1)]],
  ['a record that replaces a later one', [records([{ ...file('a', 1), replaces: 2 }], 1)]],
  ['a path twice up to a checkpoint', [records([file('a', 1)], null), records([file('a', 2)], 2)]],
  ['the root as a file', [records([{ ...file('a', 1), path: '' as FileRecord['path'] }], 1)]],
  ['an empty file with a hash of something', [records([file('a', 1, 0)], 1)]],
  ['one hash with two sizes', [records([file('a', 1), file('b', 2, 8)], 2)]],
  [
    'records that never come to a checkpoint',
    Array.from({ length: 3 }, (_, part) =>
      records(
        Array.from({ length: 400 }, (__, n) => file(`f${n}`, part * 1000 + n + 1)),
        null,
      ),
    ),
  ],
  ['empty parts without end', [records([], null)]],
  [
    'more batches than may be in flight',
    Array.from({ length: 6 }, (_, n) => records([file(`f${n}`, n + 1)], n + 1)),
  ],
  [
    'the end of an index at a sequence that is not durable',
    [{ type: 'indexEnd', folder: 'media', indexId, through: 10, token }],
  ],
  [
    'the end of another index',
    [{ type: 'indexEnd', folder: 'media', indexId: Buffer.alloc(8, 9), through: 0, token }],
  ],
  [
    'the end of an index twice',
    [
      { type: 'indexEnd', folder: 'media', indexId, through: 0, token },
      { type: 'indexEnd', folder: 'media', indexId, through: 0, token },
    ],
  ],
  [
    'content that nobody asked for',
    [{ type: 'content', requestId: 1, parts: [{ item: 0, offset: 0, bytes: content }] }],
  ],
  [
    'a chunk list that nobody asked for',
    [
      {
        type: 'chunks',
        requestId: 1,
        chunking: 'fastcdc-256k',
        from: 0,
        total: 1,
        chunks: [{ length: 1, hash: sha256(content) }],
      },
    ],
  ],
  ['gone that nobody asked for', [{ type: 'gone', requestId: 1, item: 0, reason: 'vanished' }]],
  [
    'a want, to read what the receiver holds',
    [
      {
        type: 'want',
        requestId: 1,
        folder: 'media',
        items: [{ path: parseTypedPath('a'), hash: sha256(content), offset: 0, length: 1 }],
      },
    ],
  ],
  [
    'a wantChunks',
    [
      {
        type: 'wantChunks',
        requestId: 1,
        folder: 'media',
        path: parseTypedPath('a'),
        hash: sha256(content),
        from: 0,
      },
    ],
  ],
  [
    'a browse',
    [{ type: 'browse', requestId: 1, folder: null, at: null, between: null, after: null, limit: 10 }],
  ],
  ['durable', [{ type: 'durable', folder: 'media', indexId, sequence: 1, token }]],
  ['a second hello', [hello]],
  [
    'a folder twice in an offer',
    [
      {
        type: 'offer',
        folders: [
          { id: 'x', kind: 'mirror', indexId },
          { id: 'x', kind: 'mirror', indexId },
        ],
      },
    ],
  ],
])('ends the link on %s', async (_, messages) => {
  await subscribed();
  await say(...messages);
  await expectEnd('PROTOCOL_VIOLATION');
});

it('ends the link on records before the subscribe', async () => {
  const gate = Promise.withResolvers<void>();
  storeOpens = gate.promise;
  await say(hello, offer, records([file('a', 1)], 1));
  void agent.closed.then(() => gate.resolve());
  await expectEnd('PROTOCOL_VIOLATION');
});

it.each<[string, Message]>([
  ['an offer', offer],
  ['the hello of a receiver', { ...hello, deviceRole: 'receiver' }],
  ['only other versions of the protocol', { ...hello, protocolVersions: [2, 3] }],
])('ends the link when the first message is %s', async (_, message) => {
  await say(message);
  await expectEnd('PROTOCOL_VIOLATION');
});

it('refuses a folder for which there is no place, and pulls the others', async () => {
  placeFor = (folder) => folder !== 'one-more';
  await say(hello, {
    type: 'offer',
    folders: ['one-more', 'media'].map((id) => ({ id, kind: 'mirror', indexId })),
  });
  const first = [decodeMessage(await next()), decodeMessage(await next()), decodeMessage(await next())];
  expect(first).toMatchObject([
    { type: 'hello' },
    { type: 'refuse', folder: 'one-more', code: 'QUOTA_REACHED' },
    { type: 'subscribe', folder: 'media' },
  ]);
  expect(blocked).toEqual(['one-more QUOTA_REACHED']);
  await say(records([file('good', 1)], 1));
  const { requestId } = await heard('want');
  await say({ type: 'content', requestId, parts: [{ item: 0, offset: 0, bytes: content }] });
  expect(await heard('durable')).toMatchObject({ folder: 'media', sequence: 1 });
});

it('ends the link on offers of ever new folders, having opened a bounded number of stores', async () => {
  await say(hello);
  for (let n = 0; n < 70; n += 1) {
    await say({ type: 'offer', folders: [{ id: `f${n}`, kind: 'mirror', indexId }] });
  }
  await expectEnd('PROTOCOL_VIOLATION');
  expect(opened.length).toBeLessThanOrEqual(64);
});

it('ends the link on content that is out of order or longer than asked for, and stores nothing of it', async () => {
  for (const part of [
    { item: 0, offset: 1, bytes: content.subarray(1) },
    { item: 0, offset: 0, bytes: Buffer.concat([content, content]) },
    { item: 1, offset: 0, bytes: content },
  ]) {
    connect();
    await subscribed();
    await say(records([file('a', 1)], 1));
    const { requestId } = await heard('want');
    await say({ type: 'content', requestId, parts: [part] });
    await expectEnd('PROTOCOL_VIOLATION');
    expect(store.stagedHashes).toEqual([]);
  }
});

it('takes a content once: the second answer to an item ends the link', async () => {
  await subscribed();
  await say(records([file('good', 1)], 1));
  const { requestId } = await heard('want');
  const answer: Message = { type: 'content', requestId, parts: [{ item: 0, offset: 0, bytes: content }] };
  await say(answer, answer);
  await expectEnd('PROTOCOL_VIOLATION');
});

it('asks once more for content with another hash, then ends the link and stores nothing', async () => {
  await subscribed();
  await say(records([file('a', 1)], 1));
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const { requestId } = await heard('want');
    await say({ type: 'content', requestId, parts: [{ item: 0, offset: 0, bytes: Buffer.from('another') }] });
  }
  await expectEnd('CONTENT_MISMATCH');
  expect(store.stagedHashes).toEqual([]);
});

it('ends the link on right chunks that are not the announced whole', async () => {
  const size = 2 * mib;
  const chunk = Buffer.alloc(mib, 7);
  await subscribed();
  await say(records([file('a', 1, size, Buffer.alloc(32, 9))], 1));
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const { requestId } = await heard('wantChunks');
    const chunks = [chunk, chunk].map((bytes) => ({ length: bytes.length, hash: sha256(bytes) }));
    await say({ type: 'chunks', requestId, chunking: 'fastcdc-256k', from: 0, total: 2, chunks });
    const want = await heard('want');
    await say({ type: 'content', requestId: want.requestId, parts: [{ item: 0, offset: 0, bytes: chunk }] });
  }
  await expectEnd('CONTENT_MISMATCH');
});

it('ends the link on garbage, with a code that says so', async () => {
  await subscribed();
  await agent.send(Buffer.from([0x04, 0xff, 0xff]));
  const refuse = await heard('refuse');
  expect(refuse).toMatchObject({ folder: null, code: 'PROTOCOL_VIOLATION' });
  await expectEnd('PROTOCOL_VIOLATION');
});

it('stores nothing when the link ends in the middle of a batch', async () => {
  await subscribed();
  await say(records([file('a', 1)], 1));
  await heard('want');
  agent.close();
  expect(await ended).toBe(null);
  expect(store.commits).toEqual([]);
});

it('ends the link before announced records fill the memory, however many folders they are in', async () => {
  const ids = Array.from({ length: 64 }, (_, n) => `f${n}`);
  await say(hello, { type: 'offer', folders: ids.map((id) => ({ id, kind: 'mirror', indexId })) });
  for (const _ of ids) await heard('subscribe');
  const segment = 'x'.repeat(250);
  const longPath = `${segment}/`.repeat(12);
  const end = { announcedBytes: 0, isOver: false };
  void ended.finally(() => {
    end.isOver = true;
  });
  for (const id of ids) {
    for (let batch = 0; batch < 4; batch += 1) {
      if (end.isOver) break;
      const first = batch * 1000 + 1;
      for (const from of [first, first + 400]) {
        const list = Array.from({ length: 400 }, (_, n) => file(`${longPath}${n + from}`, n + from));
        const through = from === first ? null : first + 999;
        const message = { ...(records(list, through) as Extract<Message, { type: 'records' }>), folder: id };
        end.announcedBytes += 400 * longPath.length;
        await say(message);
      }
    }
  }
  await expectEnd('PROTOCOL_VIOLATION');
  expect(end.announcedBytes).toBeLessThan(128 * mib);
});
