import { setTimeout as delay } from 'node:timers/promises';
import type { AlarmBoard } from '../shared/alarm-board.ts';
import { CodedError, isCoded } from '../shared/errors/coded-error.ts';
import { errorTable } from '../shared/errors/error-table.ts';
import { shortDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { Channel } from '../shared/link/channel.ts';
import { programVersion } from '../shared/program-version.ts';
import { defaultAnswerTimeoutMs } from '../shared/transfer/answer-deadline.ts';
import { MessageLink } from '../shared/transfer/message-link.ts';
import type { FileRecord } from '../shared/records/file-record.ts';
import type { AgentCopies } from './agent-copies.ts';
import type { FolderKind } from './copy-places.ts';
import type { AgentGuards } from './agent-guards.ts';
import type { PointBooks } from './point-books.ts';
import type { PointAnswer } from './points/point-book.ts';
import { PullSession } from './pull/pull-session.ts';
import type { PullStore } from './pull/pull-store.ts';

/** How long a full store waits before it tries again. */
const retryDelayMs = 30_000;
/** A device that is not served is heard no longer. */
const refusalMs = 10_000;
/** A session that lived so long without having anything to take shows that what ended the one before is over. */
const steadyAfterMs = 60_000;

type Deps = {
  copies: AgentCopies;
  points: PointBooks;
  alarms: AlarmBoard;
  guards: Pick<AgentGuards, 'noteDurable'>;
  logger: Logger;
  now: () => number;
};

/** The pull sessions with all agents; of one agent, one session follows the other and never two use its stores at once. */
export class AgentSessions {
  readonly #deps: Deps;
  readonly #live = new Map<DeviceId, PullSession>();
  readonly #tails = new Map<DeviceId, Promise<void>>();
  readonly #durableAt = new Map<string, number>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Pulls over this link as soon as the session before has ended. */
  begin(channel: Channel): void {
    const agentId = this.#servedAs(channel);
    if (agentId === null) return;
    void this.#afterwards(agentId, async () => {
      // asked again when its turn has come: what went before may have been a succession
      const servedAs = this.#servedAs(channel);
      if (servedAs === agentId) await this.#run(channel, agentId);
      else if (servedAs !== null) channel.close();
    });
  }

  /** Ends the agent's session and runs the action before the next one begins. */
  async withoutSession<Result>(agentId: DeviceId, action: () => Promise<Result>): Promise<Result> {
    const done = this.#afterwards(agentId, action);
    this.#live.get(agentId)?.stop();
    return done;
  }

  /**
   * Asks the agent once more for what it announced of a folder; what comes is staged. False: there is no link, or nothing
   * came. @throws CodedError of the store or the link
   */
  async fetchAgain(agentId: DeviceId, folder: string, records: readonly FileRecord[]): Promise<boolean> {
    return (await this.#live.get(agentId)?.fetchAgain(folder, records)) ?? false;
  }

  /** Resolves when every session whose link was closed has made durable what it was at. */
  async ended(): Promise<void> {
    await Promise.all(this.#tails.values());
  }

  /** When the last batch of a folder became durable, ms; null when none did since the start. */
  lastDurableAt(agentId: DeviceId, folder: string): number | null {
    return this.#durableAt.get(`${agentId}/${folder}`) ?? null;
  }

  async #afterwards<Result>(agentId: DeviceId, action: () => Promise<Result>): Promise<Result> {
    const run = (this.#tails.get(agentId) ?? Promise.resolve()).then(action);
    this.#tails.set(agentId, settled(run));
    return run;
  }

  /** With whose data the device goes on; null where it is not served (any more), and then the link ends. */
  #servedAs(channel: Channel): DeviceId | null {
    const { successions } = this.#deps.copies;
    try {
      const successor = successions.successorOf(channel.peerId);
      if (successor === null) return successions.homeOf(channel.peerId);
      // nobody waits for it: it may be in wrong hands
      void this.#refuse(channel, successor);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const code = isCoded(error) ? error.code : 'DISK_FAILED';
      this.#deps.alarms.raise(`agent ${channel.peerId}`, code, message);
      channel.close();
    }
    return null;
  }

  /** Tells a device why it is not served any more. */
  async #refuse(channel: Channel, successor: DeviceId): Promise<void> {
    const { logger } = this.#deps;
    logger.warn(
      { deviceId: channel.peerId, successor },
      'a device with whose data another one goes on is refused',
    );
    const link = new MessageLink(channel);
    const own = { program: 'mastokeep-receiver', programVersion, deviceRole: 'receiver' } as const;
    const reason = new CodedError('SUCCEEDED', `device ${successor} goes on with the data of this one here`, {
      hint: 'the owner of the receiver said so; this server replicates there no longer',
    });
    await link.greet(own, 'agent', refusalMs).catch(() => null);
    link.end(reason);
  }

  async #run(channel: Channel, agentId: DeviceId): Promise<void> {
    const { alarms, logger } = this.#deps;
    const alarmKey = `agent ${agentId}`;
    try {
      this.#deps.copies.learnKey(agentId, channel.peerKey);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      alarms.raise(alarmKey, 'DISK_FAILED', `the key of agent ${agentId} cannot be kept: ${message}`);
      channel.close();
      return;
    }
    const session = new PullSession(
      {
        channel,
        openStore: async (folder, kind) =>
          this.#observedStore(agentId, folder, kind, () => alarms.clear(alarmKey)),
        takePoint: async (record, signature) => this.#takePoint(agentId, record, signature),
        sleep: async (ms, signal) => {
          await delay(ms, undefined, { signal }).catch(() => {});
        },
        onBlocked: (folder, reason) => this.#noteBlocked(agentId, folder, reason),
        logger: logger.child({ agentId }),
      },
      { programVersion, retryDelayMs, answerTimeoutMs: defaultAnswerTimeoutMs },
    );
    this.#live.set(agentId, session);
    const steady = setTimeout(() => alarms.clear(alarmKey), steadyAfterMs);
    const reason = await session.run();
    clearTimeout(steady);
    this.#live.delete(agentId);
    if (reason === null || reason.code.startsWith('LINK_')) return;
    alarms.raise(
      alarmKey,
      reason.code,
      `replication of agent ${shortDeviceId(agentId)} failed: ${reason.message}`,
    );
    await this.#reopenStores(agentId);
  }

  /** A store that failed refuses everything until it was closed and opened again. */
  async #reopenStores(agentId: DeviceId): Promise<void> {
    const { copies, alarms } = this.#deps;
    for (const [folder] of copies.foldersOf(agentId)) {
      const alarmKey = `folder ${agentId}/${folder} opening`;
      try {
        await copies.closeStore(agentId, folder);
        await copies.open(agentId, folder);
        alarms.clear(alarmKey);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        alarms.raise(alarmKey, 'DISK_FAILED', `the copy of folder ${folder} cannot be opened: ${message}`);
      }
    }
  }

  async #observedStore(
    agentId: DeviceId,
    folder: string,
    kind: FolderKind,
    onDurable: () => void,
  ): Promise<PullStore> {
    const { copies, guards, logger, now } = this.#deps;
    const store = await copies.open(agentId, folder, kind);
    this.#deps.alarms.clear(`folder ${agentId}/${folder} opening`);
    return {
      get mustReopen() {
        return store.mustReopen;
      },
      position: () => store.position(),
      assertRoom: (bytes) => store.assertRoom(bytes),
      need: (record) => store.need(record),
      stageHeld: async (hash, size) => store.stageHeld(hash, size),
      stage: (hash, bytes) => store.stage(hash, bytes),
      openPartial: (hash, size) => store.openPartial(hash, size),
      openCurrent: (path) => store.openCurrent(path),
      completeIndex: async (position) => {
        const completed = await store.completeIndex(position);
        guards.noteDurable(agentId, folder, store);
        onDurable();
        return completed;
      },
      missingPacks: () => (store.kind === 'sealed' ? store.missingPacks() : []),
      commit: async (batch) => {
        await store.commit(batch);
        this.#durableAt.set(`${agentId}/${folder}`, now());
        guards.noteDurable(agentId, folder, store);
        onDurable();
        logger.debug(
          { agentId, folder, records: batch.records.length, through: batch.through },
          'batch durable',
        );
      },
    };
  }

  /** A point that cannot be kept now is announced again later; replication goes on. */
  async #takePoint(agentId: DeviceId, record: Buffer, signature: Buffer): Promise<PointAnswer> {
    const { points, alarms } = this.#deps;
    const alarmKey = `points ${agentId}`;
    try {
      const answer = await points.take(agentId, record, signature);
      alarms.clear(alarmKey);
      return answer;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const code = isCoded(error) ? error.code : 'INTERNAL';
      alarms.raise(
        alarmKey,
        code,
        `a restore point of agent ${shortDeviceId(agentId)} cannot be kept: ${message}`,
      );
      return { held: false, code: errorTable[code].crossesWire ? code : 'STORE_FULL' };
    }
  }

  #noteBlocked(agentId: DeviceId, folder: string, reason: CodedError | null): void {
    const key = `folder ${agentId}/${folder}`;
    if (reason === null) this.#deps.alarms.clear(key);
    else
      this.#deps.alarms.raise(
        key,
        reason.code,
        `folder ${folder} of agent ${shortDeviceId(agentId)}: ${reason.message}`,
      );
  }
}

async function settled(run: Promise<unknown>): Promise<void> {
  await Promise.allSettled([run]);
}
