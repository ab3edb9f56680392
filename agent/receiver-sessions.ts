import type { DeviceId } from '../shared/identity/device-id.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { Channel } from '../shared/link/channel.ts';
import { programVersion } from '../shared/program-version.ts';
import type { SendPace } from '../shared/transfer/send-pace.ts';
import type { AnnouncedPoints } from './serve/announced-points.ts';
import { ServeSession, type ReceiverFolderProgress } from './serve/serve-session.ts';
import type { ServedFolders } from './serve/served-feed.ts';

type Deps = {
  folders: ServedFolders;
  points: AnnouncedPoints;
  /** How fast a new link to the receiver may send. */
  pace: (receiverId: DeviceId) => SendPace;
  logger: Logger;
};

/** The live sessions with receivers; of one receiver the latest counts. */
export class ReceiverSessions {
  readonly #deps: Deps;
  readonly #live = new Map<DeviceId, ServeSession>();
  readonly #refusals = new Map<DeviceId, { code: string; message: string }>();
  readonly #running = new Set<Promise<void>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Serves over this link until it ends. */
  begin(channel: Channel): void {
    const running = this.#run(channel).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when every session whose link was closed has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** How far a connected receiver is with each folder; for one that is away, what it acknowledged last. */
  progress(receiverId: DeviceId): ReceiverFolderProgress[] {
    const session = this.#live.get(receiverId);
    if (session !== undefined) return session.progress();
    return this.#deps.folders.list().map((feed) => {
      const durableSequence = feed.acknowledgedBy(receiverId);
      const { files, bytes } = feed.pendingAfter(durableSequence);
      return { folder: feed.folderId, durableSequence, lagFiles: files, lagBytes: bytes, refused: null };
    });
  }

  /** Why a connected receiver takes nothing of a folder; null when it does. */
  refusal(receiverId: DeviceId, folderId: string): { code: string; message: string } | null {
    return this.#live.get(receiverId)?.refusedFolders.get(folderId) ?? null;
  }

  /** With what a receiver ended the last link that came to an end; null where it did not. */
  linkRefusal(receiverId: DeviceId): { code: string; message: string } | null {
    return this.#refusals.get(receiverId) ?? null;
  }

  async #run(channel: Channel): Promise<void> {
    const { folders, points, pace, logger } = this.#deps;
    const receiverId = channel.peerId;
    const session = new ServeSession(
      { channel, folders, points, pace: pace(receiverId), logger: logger.child({ receiverId }) },
      { programVersion },
    );
    this.#live.set(receiverId, session);
    const reason = await session.run();
    if (this.#live.get(receiverId) === session) this.#live.delete(receiverId);
    if (session.refusal === null) this.#refusals.delete(receiverId);
    else this.#refusals.set(receiverId, session.refusal);
    if (reason === null || reason.code.startsWith('LINK_')) return;
    logger.warn(
      { receiverId, code: reason.code, reason: reason.message },
      'the session with a receiver failed',
    );
  }
}
