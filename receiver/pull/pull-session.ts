import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import type { Message } from '../../shared/protocol/codec.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { Offer } from '../../shared/protocol/offer.ts';
import type { Point } from '../../shared/protocol/point.ts';
import { recordHash } from '../../shared/sealing/signed-record.ts';
import { AskingLink, type OtherMessage } from '../../shared/transfer/asking-link.ts';
import { asCoded } from '../../shared/transfer/message-link.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import { BatchContent } from './batch-content.ts';
import { FolderPull, type FolderPullDeps, type FolderPullProgress } from './folder-pull.ts';
import type { PullStore } from './pull-store.ts';
import { WaitingRecords } from './waiting-records.ts';

export type PullSessionDeps = {
  channel: Channel;
  /** The store of a folder of this agent (`channel.peerId`); the id is a safe directory name. The session does not close it. */
  openStore(folder: string, kind: FolderKind): Promise<PullStore>;
  /** Takes a restore point, or says why not. Never rejects. */
  takePoint(record: Buffer, signature: Buffer): Promise<{ held: boolean; code: string | null }>;
  sleep: FolderPullDeps['sleep'];
  /** For the alarm: a folder takes nothing (STORE_FULL, QUOTA_REACHED), or null: it takes again. */
  onBlocked: FolderPullDeps['onBlocked'];
  logger: Logger;
};
export type PullSessionOptions = { programVersion: string; retryDelayMs: number; answerTimeoutMs: number };

type FolderKind = Offer['folders'][number]['kind'];

type PulledFolder = {
  readonly kind: FolderKind;
  readonly indexId: Buffer;
  /** Null until the store is open and no earlier pull uses it. */
  pull: FolderPull | null;
  store: PullStore | null;
  stopped: boolean;
};

/** Pulls that were begun and are not through yet; an agent that renews its indexes faster than this floods. */
const pullsMax = 2 * limits.foldersMax;

/**
 * The receiver's side of a live link to one agent: pulls every folder that is offered. Stores must not be used by two
 * sessions at once: begin the next one behind the `run` of the last.
 */
export class PullSession {
  private readonly deps: PullSessionDeps;
  private readonly options: PullSessionOptions;
  private readonly link: AskingLink;
  private readonly waiting = new WaitingRecords();
  private readonly folders = new Map<string, PulledFolder>();
  /** Of every folder that was ever offered on this link: resolves when nothing uses its store any more. */
  private readonly storeFree = new Map<string, Promise<void>>();
  private pullsOpen = 0;
  private pointsOpen = 0;
  private pointsTaken: Promise<void> = Promise.resolve();
  private failure: CodedError | null = null;
  private over = false;

  constructor(deps: PullSessionDeps, options: PullSessionOptions) {
    this.deps = deps;
    this.options = options;
    const { programVersion, answerTimeoutMs } = options;
    this.link = new AskingLink(deps.channel, {
      own: { program: 'mastokeep-receiver', programVersion, deviceRole: 'receiver' },
      peerRole: 'agent',
      answerTimeoutMs,
    });
  }

  /**
   * Pulls until the link ends; resolves with the reason, null after an orderly end, when nothing uses a store any more.
   * Never rejects.
   */
  async run(): Promise<CodedError | null> {
    try {
      await this.receiveAll();
    } catch (error) {
      this.fail(error);
    }
    this.over = true;
    for (const id of this.folders.keys()) this.retire(id);
    this.end();
    await Promise.all([this.pointsTaken, ...this.storeFree.values()]);
    return this.failure ?? (await this.deps.channel.closed);
  }

  /** Ends the link; `run` resolves when the batch that is being committed is durable. */
  stop(): void {
    this.deps.channel.close();
  }

  /**
   * Asks once more for what was announced before; what comes is staged, and packs that do not come are reported. False: the
   * folder is not being pulled, or nothing of it came. @throws CodedError of the store or the link
   */
  async fetchAgain(folder: string, records: readonly FileRecord[]): Promise<boolean> {
    const { pull, store } = this.folders.get(folder) ?? { pull: null, store: null };
    if (pull === null || store === null) return false;
    const content = new BatchContent({ folder, store, fetcher: this.link.fetcher }, records);
    const done = content.complete();
    const before = this.storeFree.get(folder) ?? Promise.resolve();
    this.storeFree.set(folder, settled([before, done]));
    await done;
    await pull.reportMissing();
    return content.missing().length < records.length;
  }

  progress(): FolderPullProgress[] {
    return [...this.folders.values()].flatMap(({ pull }) => (pull === null ? [] : [pull.progress()]));
  }

  private async receiveAll(): Promise<void> {
    if (this.deps.channel.grant.role !== 'replica') {
      throw new CodedError(
        'ROLE_REFUSED',
        'a receiver pulls from an agent that is paired for replication only',
      );
    }
    await this.link.receiveAll((message) => this.receive(message));
  }

  private receive(message: OtherMessage): void {
    switch (message.type) {
      case 'offer':
        this.offered(message);
        return;
      case 'records':
        this.pullOf(message.folder).receiveRecords(message);
        return;
      case 'indexEnd':
        this.pullOf(message.folder).receiveEnd(message);
        return;
      case 'point':
        this.announced(message);
        return;
      case 'refuse':
        throw new CodedError('LINK_CLOSED', `the agent refuses: ${message.code}: ${message.message}`);
      case 'subscribe':
      case 'durable':
      case 'missing':
      case 'pointTaken':
      case 'want':
      case 'wantChunks':
      case 'browse':
      case 'entries':
      case 'browsePoints':
      case 'heldPoints':
      case 'browseLacking':
      case 'lackingPaths':
        throw new CodedError('PROTOCOL_VIOLATION', `an agent does not send ${message.type}`);
    }
  }

  private announced({ record, signature }: Point): void {
    if (this.pointsOpen >= limits.pointsInFlightMax) {
      throw new CodedError('PROTOCOL_VIOLATION', 'a restore point came before the answer to the one before');
    }
    this.pointsOpen += 1;
    this.pointsTaken = this.takePoint(record, signature).catch((error: unknown) => this.fail(error));
  }

  private async takePoint(record: Buffer, signature: Buffer): Promise<void> {
    const answer = await this.deps.takePoint(record, signature);
    this.pointsOpen -= 1;
    const hash = Buffer.from(recordHash(record), 'hex');
    await this.link.send({ type: 'pointTaken', hash, ...answer });
  }

  private offered({ folders }: Offer): void {
    const ids = new Set(folders.map(({ id }) => id));
    if (ids.size !== folders.length) throw new CodedError('PROTOCOL_VIOLATION', 'a folder is offered twice');
    for (const id of this.folders.keys()) {
      if (!folders.some((folder) => folder.id === id)) this.retire(id);
    }
    for (const { id, kind, indexId } of folders) {
      const known = this.folders.get(id);
      if (known?.kind === kind && known.indexId.equals(indexId)) continue;
      this.retire(id);
      this.begin(id, kind, indexId);
    }
  }

  /** Pulls the folder from the offered index once an earlier pull is through with its store. */
  private begin(id: string, kind: FolderKind, indexId: Buffer): void {
    const folders = this.storeFree.size + (this.storeFree.has(id) ? 0 : 1);
    if (folders > limits.foldersMax || this.pullsOpen >= pullsMax) {
      throw new CodedError('PROTOCOL_VIOLATION', 'too many folders or indexes are offered');
    }
    const previous = this.storeFree.get(id) ?? Promise.resolve();
    const folder: PulledFolder = { kind, indexId, pull: null, store: null, stopped: false };
    this.folders.set(id, folder);
    this.storeFree.set(id, this.pullFolder(id, folder, previous));
  }

  /** Never rejects. */
  private async pullFolder(id: string, folder: PulledFolder, previous: Promise<void>): Promise<void> {
    this.pullsOpen += 1;
    try {
      await previous;
      if (folder.stopped) return;
      const store = await this.deps.openStore(id, folder.kind);
      if (folder.stopped) return;
      folder.store = store;
      const { sleep, onBlocked } = this.deps;
      const send = (message: Message): Promise<void> => this.link.send(message);
      const deps = { store, sleep, onBlocked, fetcher: this.link.fetcher, send, waiting: this.waiting };
      const { retryDelayMs } = this.options;
      folder.pull = new FolderPull(deps, { folder: id, indexId: folder.indexId, retryDelayMs });
      await folder.pull.run();
    } catch (error) {
      // before the pull began: there is no place for one more folder, and the others go on
      if (folder.pull === null && isCoded(error, 'QUOTA_REACHED')) this.refuse(id, error);
      else this.fail(error);
    } finally {
      this.pullsOpen -= 1;
    }
  }

  private refuse(folder: string, reason: CodedError): void {
    const { code, message, hint } = reason;
    this.deps.onBlocked(folder, reason);
    this.link
      .send({ type: 'refuse', folder, code, message, hint })
      .catch((error: unknown) => this.fail(error));
  }

  /** Stops pulling a folder, behind what is under way. */
  private retire(id: string): void {
    const folder = this.folders.get(id);
    if (folder === undefined) return;
    this.folders.delete(id);
    folder.stopped = true;
    folder.pull?.stop();
  }

  /** @throws CodedError PROTOCOL_VIOLATION */
  private pullOf(id: string): FolderPull {
    const pull = this.folders.get(id)?.pull ?? null;
    if (pull === null)
      throw new CodedError('PROTOCOL_VIOLATION', `records of "${id}", which is not subscribed to`);
    return pull;
  }

  /** The first failure ends the link; what that makes fail says nothing new, unless it is no matter of the link. */
  private fail(error: unknown): void {
    const coded = asCoded(error);
    const ofLink = coded.code === 'LINK_CLOSED';
    if (this.over && ofLink) return;
    if (this.failure === null || (this.failure.code === 'LINK_CLOSED' && !ofLink)) this.failure = coded;
    this.end();
  }

  private end(): void {
    const { failure } = this;
    this.link.end(failure ?? new CodedError('LINK_CLOSED', 'the link to the agent ended'), failure);
  }
}

async function settled(promises: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(promises);
}
