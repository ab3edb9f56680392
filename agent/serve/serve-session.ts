import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { encodeMessage, type Message } from '../../shared/protocol/codec.ts';
import type { Durable } from '../../shared/protocol/durable.ts';
import type { Missing } from '../../shared/protocol/missing.ts';
import { limits } from '../../shared/protocol/limits.ts';
import { batchWireBytesMax } from '../../shared/protocol/records.ts';
import type { PointTaken } from '../../shared/protocol/point-taken.ts';
import type { Refuse } from '../../shared/protocol/refuse.ts';
import type { Subscribe } from '../../shared/protocol/subscribe.ts';
import { ContentServer } from '../../shared/transfer/content-server.ts';
import { asCoded, MessageLink } from '../../shared/transfer/message-link.ts';
import type { SendPace } from '../../shared/transfer/send-pace.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { AnnouncedPoints } from './announced-points.ts';
import { FolderContent } from './folder-content.ts';
import { FolderStream, startOf } from './folder-stream.ts';
import type { ServedFeed, ServedFolders } from './served-feed.ts';

export type ServeSessionDeps = {
  channel: Channel;
  folders: ServedFolders;
  points: AnnouncedPoints;
  /** Of content and records; whatever else is said goes at once, and is counted. */
  pace: SendPace;
  logger: Logger;
};
export type ServeSessionOptions = { programVersion: string };

/** How far a receiver is with a folder. */
export type ReceiverFolderProgress = {
  folder: string;
  /** Everything up to here is durable on the receiver; 0 before anything is. */
  durableSequence: number;
  /** Files (and their bytes) whose latest record is not durable there. */
  lagFiles: number;
  lagBytes: number;
  /** Why the receiver takes nothing at present. */
  refused: { code: string; message: string } | null;
};

/** The agent's side of a live link to one receiver. */
export class ServeSession {
  private readonly channel: Channel;
  private readonly folders: ServedFolders;
  private readonly points: AnnouncedPoints;
  private readonly pace: SendPace;
  private readonly logger: Logger;
  private readonly options: ServeSessionOptions;
  private readonly link: MessageLink;
  private readonly content: ContentServer;
  private readonly streams = new Map<string, FolderStream>();
  private readonly refusals = new Map<string, { code: string; message: string }>();
  private readonly listening = new Map<ServedFeed, () => void>();
  private readonly stopListening: () => void;
  private readonly stopPoints: () => void;
  /** The point that was announced and is not answered yet. */
  private openPoint: Buffer | null = null;
  private linkRefusal: { code: string; message: string } | null = null;
  private offered: string | null = null;
  private readonly offeredIndex = new Map<string, Buffer>();
  private pumping = false;
  private pumpAgain = false;
  private greeted = false;
  private failure: CodedError | null = null;

  constructor({ channel, folders, points, pace, logger }: ServeSessionDeps, options: ServeSessionOptions) {
    this.channel = channel;
    this.folders = folders;
    this.points = points;
    this.pace = pace;
    this.logger = logger;
    this.options = options;
    this.link = new MessageLink(channel);
    this.content = new ContentServer({
      send: (message) => this.send(message),
      sendContent: (message) => this.link.sendEncoded(message),
      source: new FolderContent(folders),
      pace,
    });
    this.stopListening = folders.onChange(() => this.requestPump());
    this.stopPoints = points.onChange(() => this.requestPump());
  }

  /** Serves until the link ends; resolves with the reason, null after an orderly end. Never rejects. */
  async run(): Promise<CodedError | null> {
    const serving = this.content.run().catch((error: unknown) => this.fail(error));
    try {
      await this.receiveAll();
    } catch (error) {
      this.fail(error);
    }
    this.stopListening();
    this.stopPoints();
    for (const stop of this.listening.values()) stop();
    this.content.stop();
    this.pace.end();
    this.link.end(this.failure);
    await serving;
    return this.failure ?? (await this.channel.closed);
  }

  /** Ends the link. */
  stop(): void {
    this.channel.close();
  }

  /** With what the receiver ended the link; null as long as it did not. */
  get refusal(): { code: string; message: string } | null {
    return this.linkRefusal;
  }

  /** Why the receiver takes nothing of a folder at present, by folder. */
  get refusedFolders(): ReadonlyMap<string, { code: string; message: string }> {
    return this.refusals;
  }

  /** How far this receiver is with each folder that is offered. */
  progress(): ReceiverFolderProgress[] {
    return this.folders.list().map((feed) => {
      const folder = feed.folderId;
      const durableSequence =
        this.streams.get(folder)?.durablePosition.sequence ?? feed.acknowledgedBy(this.channel.peerId);
      const { files, bytes } = feed.pendingAfter(durableSequence);
      const refused = this.refusals.get(folder) ?? null;
      return { folder, durableSequence, lagFiles: files, lagBytes: bytes, refused };
    });
  }

  private async receiveAll(): Promise<void> {
    if (this.channel.grant.role !== 'replica') {
      throw new CodedError('ROLE_REFUSED', 'an agent gives its folders to a replica only');
    }
    const own = {
      program: 'mastokeep-agent',
      programVersion: this.options.programVersion,
      deviceRole: 'agent',
    } as const;
    if ((await this.link.greet(own, 'receiver')) === null) return;
    this.greeted = true;
    this.requestPump();
    for (;;) {
      const message = await this.link.receive();
      if (message === null) return;
      await this.receive(message);
    }
  }

  private async receive(message: Message): Promise<void> {
    switch (message.type) {
      case 'subscribe':
        await this.subscribe(message);
        return;
      case 'durable':
        this.durable(message);
        return;
      case 'want':
        this.content.want(message);
        return;
      case 'wantChunks':
        this.content.wantChunks(message);
        return;
      case 'missing':
        this.missing(message);
        return;
      case 'pointTaken':
        this.pointTaken(message);
        return;
      case 'refuse':
        this.refused(message);
        return;
      case 'hello':
      case 'offer':
      case 'records':
      case 'indexEnd':
      case 'point':
      case 'content':
      case 'gone':
      case 'chunks':
      case 'browse':
      case 'entries':
      case 'browsePoints':
      case 'heldPoints':
      case 'browseLacking':
      case 'lackingPaths':
        throw new CodedError('PROTOCOL_VIOLATION', `a receiver does not send ${message.type}`);
    }
  }

  private async subscribe({ folder, indexId, position }: Subscribe): Promise<void> {
    const feed = this.folders.list().find(({ folderId }) => folderId === folder);
    const offered = this.offeredIndex.get(folder);
    if (offered === undefined && feed === undefined) {
      throw new CodedError('PROTOCOL_VIOLATION', `folder "${folder}" was not offered`);
    }
    // an answer to an earlier offer; the one to the latest comes or came
    if (feed === undefined || offered?.equals(indexId) !== true || !feed.indexId().equals(indexId)) return;
    const doubt = this.doubtOf(feed, position);
    if (doubt !== null) {
      const fields = { folder, peerId: this.channel.peerId, sequence: position?.sequence };
      this.logger.warn(
        fields,
        'the index was rolled back and will be renewed: a receiver knows of a later one',
      );
      this.streams.delete(folder);
      await feed.renewIndex(doubt);
      // a new offer goes out, now or after the first full scan, and the receiver subscribes to the new index
      this.requestPump();
      return;
    }
    const from = position?.indexId.equals(indexId) === true ? position : startOf(indexId);
    // a receiver that lost its copy of a sealed folder holds nothing of it any more, whatever it acknowledged once
    if (from === position || feed.kind === 'sealed') feed.acknowledged(this.channel.peerId, from);
    this.streams.set(folder, new FolderStream(feed, from));
    this.requestPump();
  }

  /** Why this index cannot go on after what the receiver holds; null when it can. */
  private doubtOf(feed: ServedFeed, position: FeedPosition | null): string | null {
    if (position === null) return null;
    if (position.indexId.equals(feed.indexId())) {
      if (feed.matches(position)) return null;
      return `a receiver holds sequence ${position.sequence}, which this index never gave out`;
    }
    // it took this index once and has another now: this one comes from a copy that is older than the other
    if (feed.acknowledgedBy(this.channel.peerId) === 0) return null;
    return 'a receiver that had taken this index holds another one';
  }

  private durable(message: Durable): void {
    const stream = this.streams.get(message.folder);
    // of an index that was renewed meanwhile
    if (stream === undefined || !stream.indexId.equals(message.indexId)) return;
    const position = stream.durable(message);
    this.refusals.delete(message.folder);
    const feed = this.folders.list().find(({ folderId }) => folderId === message.folder);
    feed?.acknowledged(this.channel.peerId, position);
    this.requestPump();
  }

  private missing({ folder, packs }: Missing): void {
    const feed = this.folders.list().find(({ folderId }) => folderId === folder);
    // the folder went meanwhile
    if (feed === undefined && this.offeredIndex.has(folder)) return;
    if (feed?.reportMissing === undefined) {
      throw new CodedError('PROTOCOL_VIOLATION', `packs of folder "${folder}" are missing: it has none`);
    }
    const fields = { folder, peerId: this.channel.peerId, packs: packs.length };
    this.logger.warn(fields, 'a receiver lacks packs: they are sent again');
    feed.reportMissing(this.channel.peerId, packs);
    this.requestPump();
  }

  private pointTaken({ hash, held, code }: PointTaken): void {
    if (this.openPoint?.equals(hash) !== true) {
      throw new CodedError('PROTOCOL_VIOLATION', 'a restore point is answered that was not announced');
    }
    this.openPoint = null;
    const fields = { peerId: this.channel.peerId, point: hash.toString('hex').slice(0, 8), code };
    if (!held) this.logger.warn(fields, 'a receiver does not take a restore point');
    else if (code !== null) this.logger.warn(fields, 'a receiver takes a restore point without its pin');
    this.points.answered(this.channel.peerId, hash, { held, code });
    this.requestPump();
  }

  private refused({ folder, code, message, hint }: Refuse): void {
    const peerId = this.channel.peerId;
    if (folder === null) {
      this.linkRefusal = { code, message };
      throw new CodedError('LINK_CLOSED', `the receiver ends the link: ${code}: ${message}`);
    }
    this.refusals.set(folder, { code, message });
    this.logger.warn(
      { folder, peerId, code, reason: message, hint },
      'the receiver takes nothing of a folder at present',
    );
  }

  /** Sends what there is to say: the offer when it changed, then the folders' records in turns. One runs at a time. */
  private requestPump(): void {
    this.pumpAgain = true;
    if (!this.pumping && this.greeted) void this.pump();
  }

  private async pump(): Promise<void> {
    this.pumping = true;
    try {
      while (this.pumpAgain && this.failure === null) {
        this.pumpAgain = false;
        this.listen();
        await this.sendOffer();
        do await this.sendPoint();
        while (await this.sendTurn());
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.pumping = false;
    }
  }

  private async sendPoint(): Promise<void> {
    const point = this.openPoint === null ? this.points.nextFor(this.channel.peerId) : null;
    if (point === null) return;
    const { hash, record, signature } = point;
    this.openPoint = hash;
    await this.send({ type: 'point', record, signature });
  }

  /** One batch of each folder that has one; false when none had. */
  private async sendTurn(): Promise<boolean> {
    let said = false;
    for (const [folder, stream] of this.streams) {
      const messages = stream.next(this.hasRoom());
      if (messages === null) {
        if (stream.isOver()) this.streams.delete(folder);
        continue;
      }
      said = true;
      for (const message of messages)
        await (message.type === 'records' ? this.sendPaced(message) : this.send(message));
    }
    return said;
  }

  /** At once. */
  private async send(message: Message): Promise<void> {
    const bytes = encodeMessage(message);
    this.pace.sent(0, bytes.length);
    await this.link.sendEncoded(bytes);
  }

  private async sendPaced(message: Message): Promise<void> {
    const bytes = encodeMessage(message);
    const claimed = await this.pace.claim(bytes.length);
    try {
      await this.link.sendEncoded(bytes);
    } finally {
      this.pace.sent(claimed, bytes.length);
    }
  }

  /** Whether any batch may still be announced: what is not durable there waits in the receiver's memory. */
  private hasRoom(): boolean {
    let bytes = batchWireBytesMax;
    for (const stream of this.streams.values()) bytes += stream.bytesInFlight;
    return bytes <= limits.recordBytesInFlightMax;
  }

  private async sendOffer(): Promise<void> {
    const folders = this.folders.list().map((feed) => ({
      id: feed.folderId,
      kind: feed.kind,
      indexId: feed.indexId(),
    }));
    const text = JSON.stringify(folders);
    if (text === this.offered) return;
    for (const folder of this.streams.keys()) {
      if (!folders.some(({ id }) => id === folder)) this.streams.delete(folder);
    }
    this.offered = text;
    for (const { id, indexId } of folders) this.offeredIndex.set(id, indexId);
    await this.send({ type: 'offer', folders });
  }

  private listen(): void {
    const feeds = new Set(this.folders.list());
    for (const [feed, stop] of this.listening) {
      if (feeds.has(feed)) continue;
      stop();
      this.listening.delete(feed);
    }
    for (const feed of feeds) {
      if (!this.listening.has(feed))
        this.listening.set(
          feed,
          feed.onChange(() => this.requestPump()),
        );
    }
  }

  private fail(error: unknown): void {
    this.failure ??= asCoded(error);
    this.link.end(this.failure);
  }
}
