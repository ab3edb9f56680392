import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { ChunkListBuilder } from '../../../shared/chunking/chunk-list.ts';
import { fileChunking } from '../../../shared/chunking/chunking-parameters.ts';
import { decodeMessage, encodeMessage, type Message } from '../../../shared/protocol/codec.ts';
import type { GoneReason } from '../../../shared/protocol/gone.ts';
import { limits } from '../../../shared/protocol/limits.ts';
import { parseTypedPath, type RelativePath } from '../../../shared/records/relative-path.ts';
import { ChunkMap } from '../../../shared/transfer/chunk-map.ts';
import { AnswerDeadline } from '../../../shared/transfer/answer-deadline.ts';
import { ContentFetcher, type PartialTarget } from '../../../shared/transfer/content-fetcher.ts';
import { ContentServer } from '../../../shared/transfer/content-server.ts';
import type { ContentSource } from '../../../shared/transfer/content-source.ts';
import type { WantedContent } from '../../../shared/transfer/range-fetcher.ts';
import { unpaced, type SendPace } from '../../../shared/transfer/send-pace.ts';
import { readVerified } from '../../../shared/transfer/verified-read.ts';
import { CodedError } from '../../../shared/errors/coded-error.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

const mib = 1024 * 1024;
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

const noDeadline = (): AnswerDeadline => new AnswerDeadline({ onSilent: () => {} }, { timeoutMs: 60_000 });

/** Contents by path, given away as a device would; `damage` changes the message on its way. */
class Transfer {
  readonly contents = new Map<RelativePath, Buffer>();
  readonly sent: Message[] = [];
  readonly goneReasons = new Map<RelativePath, GoneReason>();
  damage: (message: Message) => Message | null = (message) => message;
  bytesInFlightSeen = 0;
  readonly fetcher: ContentFetcher;
  readonly server: ContentServer;

  constructor(pace: SendPace = unpaced) {
    const source: ContentSource = {
      open: async (_folder, path, hash) => {
        const gone = this.goneReasons.get(path);
        const content = this.contents.get(path);
        if (gone !== undefined) return gone;
        if (content === undefined) return 'vanished';
        const builder = new ChunkListBuilder(fileChunking);
        builder.update(content);
        const list = builder.finish();
        const described = { size: content.length, hash, chunkMap: new ChunkMap(list) };
        return {
          size: content.length,
          read: async (offset, room) =>
            (await readVerified(
              async (at, into) => content.copy(into, 0, at) === into.length,
              described,
              offset,
              room,
            )) ?? 'changed',
          chunkList: async () => list,
          close: () => {},
        };
      },
    };
    this.server = new ContentServer({
      source,
      pace,
      send: async (message) => this.send(message),
      // a copy, as a channel makes one: the bytes are written over
      sendContent: async (message) => this.send(decodeMessage(Buffer.from(message))),
    });
    this.fetcher = new ContentFetcher({
      deadline: noDeadline(),
      send: async (message) => {
        this.bytesInFlightSeen = Math.max(this.bytesInFlightSeen, this.fetcher.bytesInFlight);
        if (message.type === 'want') this.server.want(message);
        else if (message.type === 'wantChunks') this.server.wantChunks(message);
      },
    });
    void this.server.run();
  }

  private send(message: Message): void {
    this.sent.push(message);
    const passed = this.damage(message);
    if (passed !== null) setImmediate(() => this.receive(passed));
  }

  private receive(message: Message): void {
    if (message.type === 'content') this.fetcher.receiveContent(message);
    else if (message.type === 'gone') this.fetcher.receiveGone(message);
    else if (message.type === 'chunks') this.fetcher.receiveChunks(message);
  }

  add(name: string, content: Buffer): WantedContent {
    const path = parseTypedPath(name);
    this.contents.set(path, content);
    return { folder: 'media', path, hash: sha256(content), size: content.length };
  }

  sentBytes(): number {
    return this.sent
      .flatMap((message) => (message.type === 'content' ? message.parts : []))
      .reduce((sum, part) => sum + part.bytes.length, 0);
  }
}

class MemoryPartial implements PartialTarget {
  bytes: Buffer;
  size: number;
  constructor(length: number, start: Buffer = Buffer.alloc(0)) {
    this.bytes = Buffer.alloc(length);
    start.copy(this.bytes);
    this.size = start.length;
  }
  read(offset: number, length: number): Buffer {
    return this.bytes.subarray(offset, offset + length);
  }
  write(offset: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, offset);
    this.size = Math.max(this.size, offset + bytes.length);
  }
}

const basisOf = (bytes: Buffer) => ({
  size: bytes.length,
  read: (offset: number, length: number) => bytes.subarray(offset, offset + length),
});

it('sends many small files in few messages', async () => {
  const transfer = new Transfer();
  const wanted = Array.from({ length: 1000 }, (_, n) => transfer.add(`f${n}`, seededBytes(`f${n}`, 1 + n)));
  const got: Buffer[] = [];
  await Promise.all(
    wanted.map((content, n) =>
      transfer.fetcher.fetchWhole(content, (bytes) => {
        got[n] = Buffer.from(bytes);
      }),
    ),
  );
  expect(got.every((bytes, n) => bytes.equals(seededBytes(`f${n}`, 1 + n)))).toBe(true);
  expect(transfer.sent.length).toBeLessThan(10);
  expect(transfer.fetcher.bytesInFlight).toBe(0);
  expect(transfer.server.bytesInFlight).toBe(0);
});

it('sends no larger pieces than its pace grants, and tells it of every byte', async () => {
  const claims: { wanted: number; granted: number }[] = [];
  let told = 0;
  const transfer = new Transfer({
    claim: async (wanted) => {
      const granted = Math.min(wanted, 1 + ((claims.length * 7919) % 40_000));
      claims.push({ wanted, granted });
      return granted;
    },
    sent: (claimed, bytes) => {
      expect(claimed).toBe(claims.at(-1)?.granted);
      told += bytes;
    },
    end: () => {},
  });
  const small = transfer.add('small', seededBytes('small', 100));
  const whole = transfer.add('whole', seededBytes('whole', 300_000));
  const large = transfer.add('large', seededBytes('large', 3 * mib));
  const target = new MemoryPartial(large.size);
  const got: Buffer[] = [];
  const take = (bytes: Buffer): void => void got.push(Buffer.from(bytes));
  await transfer.fetcher.fetchWhole(small, take);
  expect(claims[0]?.wanted).toBe(100);
  await Promise.all([
    transfer.fetcher.fetchWhole(whole, take),
    transfer.fetcher.fetchChunked(large, target, []),
  ]);
  expect(target.bytes.equals(seededBytes('large', 3 * mib))).toBe(true);
  expect(got.at(-1)?.equals(seededBytes('whole', 300_000))).toBe(true);
  const messages = transfer.sent.filter((message) => message.type === 'content');
  for (const [at, { parts }] of messages.entries()) {
    const bytes = parts.reduce((sum, part) => sum + part.bytes.length, 0);
    expect(bytes).toBeLessThanOrEqual(claims[at]?.granted ?? 0);
  }
  const wire = messages.reduce((sum, message) => sum + encodeMessage(message).length, 0);
  expect(told).toBe(wire);
});

it('never asks for more than 32 MiB at once', async () => {
  const transfer = new Transfer();
  const wanted = Array.from({ length: 100 }, (_, n) => transfer.add(`f${n}`, seededBytes(`${n}`, mib)));
  await Promise.all(wanted.map((content) => transfer.fetcher.fetchWhole(content, () => {})));
  expect(transfer.bytesInFlightSeen).toBeGreaterThan(16 * mib);
  expect(transfer.bytesInFlightSeen).toBeLessThanOrEqual(limits.contentBytesInFlightMax);
  expect(transfer.sentBytes()).toBe(100 * mib);
});

it('tells what is gone and goes on with the rest', async () => {
  const transfer = new Transfer();
  const wanted = ['a', 'b', 'c', 'd'].map((name) => transfer.add(name, seededBytes(name, 1000)));
  transfer.goneReasons.set(parseTypedPath('b'), 'unreadable');
  transfer.contents.set(parseTypedPath('c'), seededBytes('other', 1000));
  const outcomes = await Promise.all(wanted.map((content) => transfer.fetcher.fetchWhole(content, () => {})));
  expect(outcomes).toEqual(['taken', 'unreadable', 'changed', 'taken']);
});

it('asks once more for content with another hash, then gives it up', async () => {
  const flip = (message: Message): Message => {
    if (message.type !== 'content') return message;
    const parts = message.parts.map((part) => ({ ...part, bytes: Buffer.from(part.bytes) }));
    for (const part of parts) part.bytes[0] = (part.bytes[0] ?? 0) ^ 1;
    return { ...message, parts };
  };
  const once = new Transfer();
  let damaged = 0;
  once.damage = (message) => (message.type === 'content' && damaged++ === 0 ? flip(message) : message);
  const content = once.add('a', seededBytes('a', 5000));
  expect(await once.fetcher.fetchWhole(content, () => {})).toBe('taken');

  const always = new Transfer();
  always.damage = flip;
  const taken: Buffer[] = [];
  const failing = always.fetcher.fetchWhole(always.add('a', seededBytes('a', 5000)), (bytes) => {
    taken.push(bytes);
  });
  await expect(failing).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
  expect(taken).toEqual([]);
});

it('sends only the new chunks of a file that was appended to, or had bytes inserted in its middle', async () => {
  const old = seededBytes('old', 20 * mib);
  const edits = {
    appended: Buffer.concat([old, seededBytes('tail', 100_000)]),
    inserted: Buffer.concat([old.subarray(0, 9 * mib), Buffer.from('in the middle'), old.subarray(9 * mib)]),
  };
  for (const [name, edited] of Object.entries(edits)) {
    const transfer = new Transfer();
    const target = new MemoryPartial(edited.length);
    const outcome = await transfer.fetcher.fetchChunked(transfer.add(name, edited), target, [basisOf(old)]);
    expect(target.bytes.equals(edited)).toBe(true);
    expect(transfer.sentBytes()).toBeLessThanOrEqual(2 * mib);
    expect(outcome).toEqual({ received: transfer.sentBytes(), reused: edited.length - transfer.sentBytes() });
  }
});

it('sends only what is missing after an interrupted transfer, whatever the rest of the partial holds', async () => {
  const content = seededBytes('large', 20 * mib);
  const transfer = new Transfer();
  const target = new MemoryPartial(content.length, content.subarray(0, 15 * mib));
  target.bytes.fill(0, 5 * mib, 6 * mib); // a hole that a crash left
  await transfer.fetcher.fetchChunked(transfer.add('large', content), target, []);
  expect(target.bytes.equals(content)).toBe(true);
  expect(transfer.sentBytes()).toBeGreaterThanOrEqual(6 * mib);
  expect(transfer.sentBytes()).toBeLessThanOrEqual(9 * mib);
});

it('sends equal chunks of one file once', async () => {
  const content = Buffer.alloc(30 * mib);
  const transfer = new Transfer();
  const target = new MemoryPartial(content.length, Buffer.alloc(0));
  target.bytes.fill(1);
  await transfer.fetcher.fetchChunked(transfer.add('sparse', content), target, []);
  expect(target.bytes.equals(content)).toBe(true);
  expect(transfer.sentBytes()).toBeLessThanOrEqual(2 * mib);
});

it('rejects everything under way when the link ends', async () => {
  const transfer = new Transfer();
  transfer.damage = () => null;
  const whole = transfer.fetcher.fetchWhole(transfer.add('a', seededBytes('a', 100)), () => {});
  const large = transfer.add('l', seededBytes('l', 3 * mib));
  const chunked = transfer.fetcher.fetchChunked(large, new MemoryPartial(3 * mib), []);
  const failures = Promise.allSettled([whole, chunked]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  transfer.fetcher.end(new CodedError('LINK_CLOSED', 'cut'));
  expect(await failures).toMatchObject([
    { status: 'rejected', reason: { code: 'LINK_CLOSED' } },
    { status: 'rejected', reason: { code: 'LINK_CLOSED' } },
  ]);
});

it.each<[string, (message: Message) => Message]>([
  [
    'too long',
    (message) =>
      message.type === 'chunks'
        ? { ...message, chunks: message.chunks.map(({ hash }) => ({ hash, length: mib })) }
        : message,
  ],
  ['too many', (message) => (message.type === 'chunks' ? { ...message, total: 1e9 } : message)],
  [
    'too short',
    (message) =>
      message.type === 'chunks'
        ? { ...message, total: message.total - 1, chunks: message.chunks.slice(0, -1) }
        : message,
  ],
])('refuses a chunk list that is %s', async (_, damage) => {
  const transfer = new Transfer();
  transfer.damage = damage;
  const large = transfer.add('l', seededBytes('l', 5 * mib));
  const fetching = transfer.fetcher.fetchChunked(large, new MemoryPartial(5 * mib), []);
  await expect(fetching).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' });
});

it('refuses content that was not asked for, comes twice, out of order or too long', () => {
  const fetcher = new ContentFetcher({ send: async () => {}, deadline: noDeadline() });
  const part = { item: 0, offset: 0, bytes: Buffer.from('x') };
  expect(() => fetcher.receiveContent({ requestId: 1, parts: [part] })).toThrowError(
    expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }),
  );
  expect(() => fetcher.receiveGone({ requestId: 1, item: 0, reason: 'vanished' })).toThrowError(
    expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }),
  );
});
