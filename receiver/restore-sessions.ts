import type { DeviceId } from '../shared/identity/device-id.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { Channel } from '../shared/link/channel.ts';
import type { Peer } from '../shared/link/peer.ts';
import { programVersion } from '../shared/program-version.ts';
import type { AgentCopies } from './agent-copies.ts';
import { RestoreLeases } from './serve/restore-lease.ts';
import { serveRestore, type RestoreFolder } from './serve/restore-session.ts';
import { HeldContentSource } from './serve/held-content.ts';

/** The sessions in which devices with a restore grant read. */
export class RestoreSessions {
  readonly leases: RestoreLeases;
  readonly #deps: { copies: AgentCopies; logger: Logger; now: () => number };
  readonly #running = new Set<Promise<void>>();

  constructor(deps: { copies: AgentCopies; logger: Logger; now: () => number }) {
    this.#deps = deps;
    this.leases = new RestoreLeases(deps.now);
  }

  begin(channel: Channel, peer: Peer): void {
    const { copies, logger, now } = this.#deps;
    logger.info({ deviceId: peer.deviceId, grant: peer.grant }, 'a restore reads');
    const serving = serveRestore({
      channel,
      foldersOf: (agentId) => copies.foldersOf(agentId).map(([id]) => restoreFolder(copies, agentId, id)),
      contentOf: (agentId) => new HeldContentSource({ openHeld: (hash) => copies.openHeld(agentId, hash) }),
      leases: this.leases,
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

function restoreFolder(copies: AgentCopies, agentId: DeviceId, id: string): RestoreFolder {
  return {
    id,
    kind: 'mirror',
    usage: () => copies.get(agentId, id).usage(),
    changedAt: () => copies.get(agentId, id).changedAt(),
    entriesAt: (query) => copies.get(agentId, id).entriesAt(query),
  };
}
