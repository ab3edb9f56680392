import type { DeviceId } from '../../shared/identity/device-id.ts';

/** After so long without progress a restore no longer holds up the expiry of versions, though its link may live on. */
export const restoreLeaseIdleMs = 60 * 60_000;

/**
 * Which agents' histories are being read at the moment. Whoever expires versions asks first and leaves the agent for
 * later, so that a restore of an old state finds to its end what it was shown at its start.
 */
export class RestoreLeases {
  readonly #now: () => number;
  readonly #leases = new Set<{ agentId: DeviceId; lastProgressAt: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Begins a lease; `renew` it whenever data moves, `end` it with the link. */
  begin(agentId: DeviceId): { renew(): void; end(): void } {
    const lease = { agentId, lastProgressAt: this.#now() };
    this.#leases.add(lease);
    return {
      renew: () => {
        lease.lastProgressAt = this.#now();
      },
      end: () => {
        this.#leases.delete(lease);
      },
    };
  }

  /** True while a restore of this agent's data makes progress: nothing of it may expire now. */
  holds(agentId: DeviceId): boolean {
    const since = this.#now() - restoreLeaseIdleMs;
    return [...this.#leases].some((lease) => lease.agentId === agentId && lease.lastProgressAt > since);
  }
}
