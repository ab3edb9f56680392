import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import type { Browse } from '../../shared/protocol/browse.ts';
import type { BrowseLacking } from '../../shared/protocol/browse-lacking.ts';
import type { BrowsePoints } from '../../shared/protocol/browse-points.ts';
import type { Message } from '../../shared/protocol/codec.ts';
import type { Entries } from '../../shared/protocol/entries.ts';
import type { HeldPoints } from '../../shared/protocol/held-points.ts';
import type { LackingPaths } from '../../shared/protocol/lacking-paths.ts';
import { recordWireBytesMax } from '../../shared/protocol/records.ts';
import { ContentServer } from '../../shared/transfer/content-server.ts';
import { asCoded, MessageLink } from '../../shared/transfer/message-link.ts';
import { unpaced } from '../../shared/transfer/send-pace.ts';
import type { RestoreFolder, RestoreHistory, RestorePoints } from './restore-history.ts';
import type { RestoreLeases } from './restore-lease.ts';

/** A page of entries stays far below a message. */
const entriesPageBytes = 1024 * 1024;

export type RestoreSessionDeps = {
  channel: Channel;
  /** What this receiver holds of one agent; asked for the granted agent only. */
  openHistory(agentId: DeviceId): Promise<RestoreHistory>;
  leases: Pick<RestoreLeases, 'begin'>;
  /** ms by the receiver's clock. */
  now(): number;
  programVersion: string;
  logger: Logger;
};

/**
 * Serves one agent's history to a restoring device until the link ends: folders, their entries at a moment, content.
 * The grant decides whose history it is; nothing that the device sends can name another agent, and nothing changes
 * what is stored. What is not allowed is answered with a `refuse` and the end of the link.
 */
export async function serveRestore(deps: RestoreSessionDeps): Promise<void> {
  const { channel, logger } = deps;
  const link = new MessageLink(channel);
  if (channel.grant.role !== 'restore') {
    link.end(new CodedError('ROLE_REFUSED', 'only a restore grant may read what is stored here'));
    return;
  }
  const lease = deps.leases.begin(channel.grant.agentId);
  try {
    await new RestoreSession(deps, link, await deps.openHistory(channel.grant.agentId), () =>
      lease.renew(),
    ).run();
    channel.close();
  } catch (error) {
    const coded = asCoded(error);
    if (coded.code !== 'LINK_CLOSED') {
      logger.warn({ code: coded.code, err: coded, peerId: channel.peerId }, 'restore session ended');
    }
    link.end(coded);
  } finally {
    lease.end();
  }
}

class RestoreSession {
  readonly #deps: RestoreSessionDeps;
  readonly #link: MessageLink;
  readonly #folders: ReadonlyMap<string, RestoreFolder>;
  readonly #server: ContentServer;
  readonly #points: RestorePoints;
  readonly #onProgress: () => void;

  constructor(deps: RestoreSessionDeps, link: MessageLink, history: RestoreHistory, onProgress: () => void) {
    this.#deps = deps;
    this.#link = link;
    this.#folders = new Map(history.folders.map((folder) => [folder.id, folder]));
    this.#points = history.points;
    this.#onProgress = onProgress;
    this.#server = new ContentServer({
      send: (message) => this.#send(message),
      sendContent: async (message) => {
        await link.sendEncoded(message);
        onProgress();
      },
      source: history.content,
      pace: unpaced,
    });
  }

  async run(): Promise<void> {
    const { channel } = this.#deps;
    const serving = this.#server.run();
    const receiving = this.#receive().finally(() => this.#server.stop());
    // Whichever fails first ends the link, so that the other one ends as well.
    serving.catch((error: unknown) => channel.close(isCoded(error) ? error : undefined));
    const [served, received] = await Promise.allSettled([serving, receiving]);
    if (received.status === 'rejected') throw received.reason;
    if (served.status === 'rejected') throw served.reason;
  }

  async #receive(): Promise<void> {
    const { programVersion } = this.#deps;
    const own = { program: 'mastokeep-receiver', programVersion, deviceRole: 'receiver' } as const;
    if ((await this.#link.greet(own, 'restorer')) === null) return;
    for (;;) {
      const message = await this.#link.receive();
      if (message === null) return;
      await this.#answer(message);
    }
  }

  async #answer(message: Message): Promise<void> {
    switch (message.type) {
      case 'browse':
        await this.#send({ type: 'entries', ...this.#browse(message) });
        this.#onProgress();
        return;
      case 'browsePoints':
        await this.#send({ type: 'heldPoints', ...(await this.#browsePoints(message)) });
        this.#onProgress();
        return;
      case 'browseLacking':
        await this.#send({ type: 'lackingPaths', ...(await this.#browseLacking(message)) });
        this.#onProgress();
        return;
      case 'want':
        this.#folder(message.folder);
        this.#server.want(message);
        return;
      case 'wantChunks':
        this.#folder(message.folder);
        this.#server.wantChunks(message);
        return;
      case 'hello':
      case 'offer':
      case 'subscribe':
      case 'records':
      case 'indexEnd':
      case 'durable':
      case 'missing':
      case 'point':
      case 'pointTaken':
      case 'refuse':
      case 'content':
      case 'gone':
      case 'chunks':
      case 'entries':
      case 'heldPoints':
      case 'lackingPaths':
        throw new CodedError('ROLE_REFUSED', `a restore may not send ${message.type}`);
    }
  }

  #browse({ requestId, folder, at, between, after, limit }: Browse): Entries {
    const shownAt = this.#momentShown(at);
    if (folder === null) {
      const folders = [...this.#folders.values()].map((entry) => {
        const { files, bytes } = entry.usage();
        return { id: entry.id, kind: entry.kind, files, bytes };
      });
      return { requestId, folders, entries: [], next: null, at: shownAt };
    }
    const page =
      between === null
        ? this.#folder(folder).entriesAt({ at: shownAt, after, limit })
        : this.#pageBetween(folder, between, after, limit);
    const entries: Entries['entries'] = [];
    let room = entriesPageBytes;
    for (const { path, state } of page.entries) {
      room -= recordWireBytesMax({ path, state });
      if (room < 0)
        return { requestId, folders: null, entries, next: entries.at(-1)?.path ?? null, at: shownAt };
      entries.push({ path, state });
    }
    return { requestId, folders: null, entries, next: page.next, at: shownAt };
  }

  async #browsePoints({ requestId, after, limit }: BrowsePoints): Promise<HeldPoints> {
    const { agentKey, points, next } = await this.#points.page(after, limit);
    return { requestId, agentKey, points, next };
  }

  async #browseLacking({ requestId, point, folder, after, limit }: BrowseLacking): Promise<LackingPaths> {
    return { requestId, ...(await this.#points.lacking({ point, folder, after, limit })) };
  }

  #pageBetween(
    folder: string,
    between: NonNullable<Browse['between']>,
    after: Browse['after'],
    limit: number,
  ): ReturnType<RestoreFolder['entriesAt']> {
    const page = this.#folder(folder).contentBetween?.(between, after, limit);
    if (page !== undefined) return page;
    throw new CodedError('PROTOCOL_VIOLATION', `folder "${folder}" is sealed: it has no interval`);
  }

  /** Where the clock has gone back, the latest state is later than now. */
  #momentShown(at: number | null): number {
    const latest = Math.max(
      this.#deps.now(),
      ...[...this.#folders.values()].map((folder) => folder.changedAt()),
    );
    return Math.min(at ?? latest, latest);
  }

  #folder(id: string): RestoreFolder {
    const folder = this.#folders.get(id);
    if (folder === undefined) {
      throw new CodedError('FOLDER_UNKNOWN', `folder "${id}" is not held here for this agent`);
    }
    return folder;
  }

  async #send(message: Message): Promise<void> {
    await this.#link.send(message);
    if (message.type === 'chunks') this.#onProgress();
  }
}
