import type { DeviceId } from '../shared/identity/device-id.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { Channel } from '../shared/link/channel.ts';
import type { Peer } from '../shared/link/peer.ts';
import { programVersion } from '../shared/program-version.ts';
import type { AgentCopies, AgentStore } from './agent-copies.ts';
import type { PointBooks } from './point-books.ts';
import { pointPagesOf } from './point-pages.ts';
import { type HistoryStore, historyOfStores, type RestoreHistory } from './serve/restore-history.ts';
import { RestoreLeases } from './serve/restore-lease.ts';
import { serveRestore } from './serve/restore-session.ts';

type Deps = { copies: AgentCopies; points: PointBooks; logger: Logger; now: () => number };

/** The sessions in which devices with a restore grant read. */
export class RestoreSessions {
  readonly leases: RestoreLeases;
  readonly #deps: Deps;
  readonly #running = new Set<Promise<void>>();

  constructor(deps: Deps) {
    this.#deps = deps;
    this.leases = new RestoreLeases(deps.now);
  }

  begin(channel: Channel, peer: Peer): void {
    const { copies, points, logger, now } = this.#deps;
    const homeOf = (agentId: DeviceId): DeviceId => copies.successions.homeOf(agentId);
    logger.info({ deviceId: peer.deviceId, grant: peer.grant }, 'a restore reads');
    const serving = serveRestore({
      channel,
      openHistory: async (agentId) => historyOf({ copies, points }, homeOf(agentId)),
      leases: { begin: (agentId) => this.leases.begin(homeOf(agentId)) },
      now,
      programVersion,
      logger,
    }).finally(() => this.#running.delete(serving));
    this.#running.add(serving);
  }

  async ended(): Promise<void> {
    await Promise.all(this.#running);
  }
}

/** Asks for the store anew each time: one that failed or is indexed anew is closed and opened again. */
function historyOf({ copies, points }: Pick<Deps, 'copies' | 'points'>, agentId: DeviceId): RestoreHistory {
  const stores = copies.foldersOf(agentId).map(([id, { kind }]) => {
    const store = (): AgentStore => copies.get(agentId, id);
    return [
      id,
      {
        kind,
        usage: () => usageOf(store()),
        changedAt: () => store().changedAt(),
        entriesAt: (query: Parameters<AgentStore['entriesAt']>[0]) => store().entriesAt(query),
        contentBetween: kind === 'sealed' ? null : contentBetweenOf(store),
        copies: (hash: Buffer) => store().copies(hash),
      },
    ] as const;
  });
  return historyOfStores(new Map(stores), pointPagesOf({ points, copies }, agentId));
}

function contentBetweenOf(store: () => AgentStore): NonNullable<HistoryStore['contentBetween']> {
  return (interval, after, limit) => {
    const opened = store();
    return opened.kind === 'mirror'
      ? opened.contentBetween(interval, after, limit)
      : { entries: [], next: null };
  };
}

function usageOf(store: AgentStore): { files: number; bytes: number } {
  if (store.kind === 'mirror') return store.usage();
  const { versions: files, bytes } = store.usage();
  return { files, bytes };
}
