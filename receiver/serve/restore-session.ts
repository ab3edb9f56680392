import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { errorTable } from '../../shared/errors/error-table.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import type { Browse } from '../../shared/protocol/browse.ts';
import { decodeMessage, encodeMessage, type Message } from '../../shared/protocol/codec.ts';
import type { Entries } from '../../shared/protocol/entries.ts';
import { protocolVersion } from '../../shared/protocol/protocol-version.ts';
import { recordWireBytesMax } from '../../shared/protocol/records.ts';
import type { DirectoryState, FileState, SymlinkState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { ContentServer } from '../../shared/transfer/content-server.ts';
import type { ContentSource } from '../../shared/transfer/content-source.ts';
import type { RestoreLeases } from './restore-lease.ts';

/** A page of entries stays far below a message. */
const entriesPageBytes = 1024 * 1024;

/** What a restore reads of one folder; it changes nothing. */
export type RestoreFolder = {
  readonly id: string;
  readonly kind: 'mirror';
  usage(): { files: number; bytes: number };
  /** When its state changed last, ms. */
  changedAt(): number;
  /** Sorted by path, at most `limit`, without what was deleted then; `next` is the last path when there are more. */
  entriesAt(query: { at: number | null; after: RelativePath | null; limit: number }): {
    entries: readonly { path: RelativePath; state: FileState | SymlinkState | DirectoryState }[];
    next: RelativePath | null;
  };
};

export type RestoreSessionDeps = {
  channel: Channel;
  /** The folders that this receiver holds of one agent; asked for the granted agent only. */
  foldersOf(agentId: DeviceId): readonly RestoreFolder[];
  /** The content that it holds of that agent; likewise. */
  contentOf(agentId: DeviceId): ContentSource;
  leases: RestoreLeases;
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
  if (channel.grant.role !== 'restore') {
    await end(deps, new CodedError('ROLE_REFUSED', 'only a restore grant may read what is stored here'));
    return;
  }
  const lease = deps.leases.begin(channel.grant.agentId);
  try {
    await new RestoreSession(deps, channel.grant.agentId, () => lease.renew()).run();
  } catch (error) {
    const coded = isCoded(error)
      ? error
      : new CodedError('INTERNAL', 'serving the restore failed', { cause: error });
    if (coded.code !== 'LINK_CLOSED') {
      logger.warn(
        { code: coded.code, err: coded.cause ?? coded, peerId: channel.peerId },
        'restore session ended',
      );
    }
    await end(deps, coded);
  } finally {
    lease.end();
  }
}

class RestoreSession {
  readonly #deps: RestoreSessionDeps;
  readonly #folders: ReadonlyMap<string, RestoreFolder>;
  readonly #server: ContentServer;
  readonly #onProgress: () => void;

  constructor(deps: RestoreSessionDeps, agentId: DeviceId, onProgress: () => void) {
    this.#deps = deps;
    this.#folders = new Map(deps.foldersOf(agentId).map((folder) => [folder.id, folder]));
    this.#onProgress = onProgress;
    this.#server = new ContentServer({
      send: (message) => this.#send(message),
      source: deps.contentOf(agentId),
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
    await this.#send({
      type: 'hello',
      protocolVersions: [protocolVersion],
      program: 'mastokeep-receiver',
      programVersion: this.#deps.programVersion,
      deviceRole: 'receiver',
    });
    let greeted = false;
    for (;;) {
      const bytes = await this.#deps.channel.receive();
      if (bytes === null) return;
      const message = decodeMessage(bytes);
      if (greeted !== (message.type !== 'hello')) {
        throw new CodedError('PROTOCOL_VIOLATION', `${message.type} came where it has no place`);
      }
      greeted = true;
      await this.#answer(message);
    }
  }

  async #answer(message: Message): Promise<void> {
    switch (message.type) {
      case 'hello':
        if (!message.protocolVersions.includes(protocolVersion) || message.deviceRole !== 'restorer') {
          throw new CodedError(
            'PROTOCOL_VIOLATION',
            `no common protocol with ${message.program} (${message.deviceRole})`,
          );
        }
        return;
      case 'browse':
        await this.#send({ type: 'entries', ...this.#browse(message) });
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
      default:
        throw new CodedError('ROLE_REFUSED', `a restore may not send ${message.type}`);
    }
  }

  #browse({ requestId, folder, at, after, limit }: Browse): Entries {
    const shownAt = this.#momentShown(at);
    if (folder === null) {
      const folders = [...this.#folders.values()].map(({ id, kind, ...rest }) => ({
        id,
        kind,
        ...rest.usage(),
      }));
      return { requestId, folders, entries: [], next: null, at: shownAt };
    }
    const page = this.#folder(folder).entriesAt({ at: shownAt, after, limit });
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
    await this.#deps.channel.send(encodeMessage(message));
    if (message.type === 'content' || message.type === 'chunks') this.#onProgress();
  }
}

/** Tells the other side why, where that may cross the wire, and ends the link. */
async function end({ channel }: RestoreSessionDeps, reason: CodedError): Promise<void> {
  const told = errorTable[reason.code].crossesWire;
  const code = told ? reason.code : 'INTERNAL';
  const message = told ? reason.message.slice(0, 500) : 'the receiver cannot go on with this restore';
  await channel
    .send(encodeMessage({ type: 'refuse', folder: null, code, message, hint: told ? reason.hint : null }))
    .catch(() => {});
  channel.close(reason);
}
