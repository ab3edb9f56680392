import { CodedError } from '../errors/coded-error.ts';
import type { Message } from '../protocol/codec.ts';
import { fileChunking } from '../chunking/chunking-parameters.ts';
import { ContentWriter } from '../protocol/content.ts';
import { limits } from '../protocol/limits.ts';
import type { WantChunks } from '../protocol/want-chunks.ts';
import type { Want, WantItem } from '../protocol/want.ts';
import type { ContentSource, OpenContent } from './content-source.ts';
import { FolderTurns } from './folder-turns.ts';
import type { SendPace } from './send-pace.ts';

type ContentServerDeps = {
  /** Resolves when the message went to the kernel; rejects with LINK_CLOSED. */
  send(message: Message): Promise<void>;
  /** The same of a `content` message, encoded already; its bytes are written over once it went. */
  sendContent(message: Buffer): Promise<void>;
  source: ContentSource;
  /** Of the content messages. */
  pace: SendPace;
};

type WantTurns = {
  kind: 'want';
  request: Want;
  /** Position of the item that comes next, and how much of it went out. */
  item: number;
  sentOfItem: number;
  open: OpenContent | null;
};
type Turns = WantTurns | { kind: 'wantChunks'; request: WantChunks };

/**
 * Answers `want` and `wantChunks` out of a ContentSource. Folders take turns, and requests of one folder, each turn of about one
 * message, so that a small one does not wait for a large one, nor media for a dump; one message is in memory at a time; a content
 * that cannot be given stops nothing else.
 */
export class ContentServer {
  private readonly deps: ContentServerDeps;
  private readonly queue = new FolderTurns<Turns>();
  private readonly requestIds = new Set<number>();
  private bytesAsked = 0;
  private stopped = false;
  private wake: () => void = () => {};
  /** Of a link that asks for content. */
  private writer: ContentWriter | null = null;

  constructor(deps: ContentServerDeps) {
    this.deps = deps;
  }

  /** Content that was asked for and not sent yet. */
  get bytesInFlight(): number {
    return this.bytesAsked;
  }

  /** @throws CodedError PROTOCOL_VIOLATION (more in flight than allowed) */
  want(request: Want): void {
    for (const item of request.items) this.bytesAsked += item.length;
    if (this.bytesAsked > limits.contentBytesInFlightMax) {
      throw new CodedError('PROTOCOL_VIOLATION', `content of ${this.bytesAsked} bytes asked for at once`);
    }
    this.enqueue({ kind: 'want', request, item: 0, sentOfItem: 0, open: null });
  }

  /** @throws CodedError PROTOCOL_VIOLATION (more in flight than allowed) */
  wantChunks(request: WantChunks): void {
    this.enqueue({ kind: 'wantChunks', request });
  }

  /** Serves until `stop`. @throws CodedError LINK_CLOSED, PROTOCOL_VIOLATION (a range that the content does not have) */
  async run(): Promise<void> {
    try {
      for (;;) {
        if (this.stopped) return;
        const turns = this.queue.shift();
        if (turns === undefined) {
          await new Promise<void>((resolve) => {
            this.wake = resolve;
          });
          continue;
        }
        const finished =
          turns.kind === 'want' ? await this.serveTurn(turns) : await this.serveChunks(turns.request);
        if (finished) this.requestIds.delete(turns.request.requestId);
        else this.queue.push(turns.request.folder, turns);
      }
    } finally {
      this.stopped = true;
      for (const turns of this.queue.clear()) if (turns.kind === 'want') turns.open?.close();
    }
  }

  /** Ends `run` after the message that is under way. */
  stop(): void {
    this.stopped = true;
    this.wake();
  }

  private enqueue(turns: Turns): void {
    const { requestId } = turns.request;
    if (this.requestIds.has(requestId) || this.requestIds.size >= limits.requestsInFlightMax) {
      throw new CodedError('PROTOCOL_VIOLATION', `request ${requestId} is one too many or in use`);
    }
    this.requestIds.add(requestId);
    this.queue.push(turns.request.folder, turns);
    this.wake();
  }

  /** Sends one message of content (and what is gone on the way). True when the request is answered. */
  private async serveTurn(turns: WantTurns): Promise<boolean> {
    const { pace } = this.deps;
    const claimed = await pace.claim(wantedBytes(turns));
    let sent = 0;
    try {
      // while it waited, the link may have ended
      if (this.stopped) return false;
      const { finished, message } = await this.nextMessage(turns, claimed);
      if (message !== null) {
        await this.deps.sendContent(message);
        sent = message.length;
      }
      return finished;
    } catch (error) {
      turns.open?.close();
      turns.open = null;
      throw error;
    } finally {
      pace.sent(claimed, sent);
    }
  }

  /** A message with `bytesMax` bytes of content at most, null where there is none to send. */
  private async nextMessage(turns: WantTurns, bytesMax: number) {
    const { request } = turns;
    const writer = (this.writer ??= new ContentWriter());
    let bytesLeft = bytesMax;
    let finished = false;
    for (;;) {
      const item = request.items[turns.item];
      if (item === undefined) {
        finished = true;
        break;
      }
      const rest = item.length - turns.sentOfItem;
      const room = writer.room.subarray(0, bytesLeft);
      const { partCount } = writer;
      if (partCount > 0 && (rest > room.length || partCount >= limits.contentPartsMax)) break;
      const bytes = await this.readItem(turns, item, room.subarray(0, rest));
      if (typeof bytes === 'string') {
        this.finishItem(turns, rest);
        await this.deps.send({
          type: 'gone',
          requestId: request.requestId,
          item: turns.item - 1,
          reason: bytes,
        });
        continue;
      }
      writer.add(turns.item, item.offset + turns.sentOfItem, bytes);
      bytesLeft -= bytes;
      this.bytesAsked -= bytes;
      turns.sentOfItem += bytes;
      if (turns.sentOfItem === item.length) this.finishItem(turns, 0);
    }
    return { finished, message: writer.partCount > 0 ? writer.take(request.requestId) : null };
  }

  private async readItem(turns: WantTurns, item: WantItem, room: Buffer) {
    if (turns.open === null) {
      const opened = await this.deps.source.open(turns.request.folder, item.path, item.hash);
      if (typeof opened === 'string') return opened;
      turns.open = opened;
    }
    if (item.offset + item.length > turns.open.size) {
      throw new CodedError('PROTOCOL_VIOLATION', 'a range behind the end of a content was asked for');
    }
    return turns.open.read(item.offset + turns.sentOfItem, room);
  }

  private finishItem(turns: WantTurns, unsentBytes: number): void {
    this.bytesAsked -= unsentBytes;
    const done = turns.request.items[turns.item];
    turns.item += 1;
    turns.sentOfItem = 0;
    const next = turns.request.items[turns.item];
    // the chunks of one content follow each other: it stays open for them
    if (done !== undefined && next?.path === done.path && next.hash.equals(done.hash)) return;
    turns.open?.close();
    turns.open = null;
  }

  private async serveChunks(request: WantChunks): Promise<true> {
    const { requestId, folder, path, hash, from } = request;
    const opened = await this.deps.source.open(folder, path, hash);
    let list;
    if (typeof opened === 'string') list = opened;
    else {
      try {
        list = opened.size > limits.wholeFileBytesMax ? await opened.chunkList() : ([] as const);
      } finally {
        opened.close();
      }
    }
    if (typeof list === 'string') {
      await this.deps.send({ type: 'gone', requestId, item: 0, reason: list });
      return true;
    }
    const chunks = list.slice(from, from + limits.chunksPageMax);
    if (chunks.length === 0) {
      throw new CodedError(
        'PROTOCOL_VIOLATION',
        `chunks from ${from} of a list of ${list.length} were asked for`,
      );
    }
    const page = { requestId, chunking: fileChunking.name, from, total: list.length, chunks };
    await this.deps.send({ type: 'chunks', ...page });
    return true;
  }
}

/** What a message of this request may have at most. */
function wantedBytes({ request, item, sentOfItem }: WantTurns): number {
  let bytes = -sentOfItem;
  for (let at = item; at < request.items.length && bytes < limits.contentMessageBytesMax; at++)
    bytes += request.items[at]?.length ?? 0;
  return Math.min(bytes, limits.contentMessageBytesMax);
}
