import { ServeSession } from '../../agent/serve/serve-session.ts';
import type { ServedFeed } from '../../agent/serve/served-feed.ts';
import type { FolderPullProgress } from '../../receiver/pull/folder-pull.ts';
import { PullSession } from '../../receiver/pull/pull-session.ts';
import type { PullStore } from '../../receiver/pull/pull-store.ts';
import type { CodedError } from '../../shared/errors/coded-error.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { decodeMessage, type Message } from '../../shared/protocol/codec.ts';
import { unpaced, type SendPace } from '../../shared/transfer/send-pace.ts';
import { noPoints } from './no-points.ts';
import { createChannelPair, type ChannelPairOptions } from './channel-pair.ts';

export type Replica = { feeds: readonly ServedFeed[]; stores: Map<string, PullStore> };

type ReplicationLinkOptions = ChannelPairOptions & {
  /** Of the agent's side. */
  pace?: SendPace;
  /** The agent's end and the receiver's of a real link; then nothing is seen of its messages. */
  channels?: [Channel, Channel];
};

/** One live link between a fake agent and a fake receiver with real sessions on both sides. */
export class ReplicationLink {
  readonly messages: Message[] = [];
  readonly blocked: (string | null)[] = [];
  readonly serve: ServeSession;
  readonly pull: PullSession;
  readonly ended: Promise<{ agent: CodedError | null; receiver: CodedError | null }>;
  retry: () => void = () => {};
  private readonly folderListeners = new Set<() => void>();

  constructor({ feeds, stores }: Replica, options: ReplicationLinkOptions = {}) {
    const [agentSide, receiverSide] =
      options.channels ??
      createChannelPair({
        ...options,
        onMessage: async (message, direction) => {
          const passed =
            options.onMessage === undefined ? message : await options.onMessage(message, direction);
          if (passed !== null) this.messages.push(decodeMessage(Buffer.from(passed)));
          return passed;
        },
      });
    const folders = {
      list: () => feeds,
      onChange: (listener: () => void) => {
        this.folderListeners.add(listener);
        return () => this.folderListeners.delete(listener);
      },
    };
    this.serve = new ServeSession(
      { channel: agentSide, folders, points: noPoints, pace: options.pace ?? unpaced, logger: silentLogger },
      { programVersion: '0.0.0' },
    );
    this.pull = new PullSession(
      {
        channel: receiverSide,
        openStore: async (folder) => {
          const store = stores.get(folder);
          if (store === undefined) throw new Error(`no store for ${folder}`);
          return store;
        },
        takePoint: async () => ({ held: true, code: null }),
        sleep: (_, signal) =>
          new Promise((resolve) => {
            this.retry = resolve;
            signal.addEventListener('abort', () => resolve(), { once: true });
          }),
        onBlocked: (_, reason) => this.blocked.push(reason?.code ?? null),
        logger: silentLogger,
      },
      { programVersion: '0.0.0', retryDelayMs: 1000, answerTimeoutMs: 3_600_000 },
    );
    const ending = [this.serve.run(), this.pull.run()] as const;
    this.ended = Promise.all(ending).then(([agent, receiver]) => ({ agent, receiver }));
  }

  foldersChanged(): void {
    for (const listener of this.folderListeners) listener();
  }

  /** Content bytes that went over the link. */
  contentBytes(): number {
    return this.messages
      .flatMap((message) => (message.type === 'content' ? message.parts : []))
      .reduce((sum, part) => sum + part.bytes.length, 0);
  }

  count(type: Message['type']): number {
    return this.messages.filter((message) => message.type === type).length;
  }

  progress(folder: string): FolderPullProgress | undefined {
    return this.pull.progress().find((progress) => progress.folder === folder);
  }

  async close(): Promise<void> {
    this.serve.stop();
    await this.ended;
  }
}
