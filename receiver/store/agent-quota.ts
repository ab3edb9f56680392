import { CodedError } from '../../shared/errors/coded-error.ts';

/** What a record costs of the quota besides its content, so that records without bytes cannot grow without end. */
export const recordBytes = 512;

/** One store of the agent. */
type QuotaUser = {
  usedBytes(): number;
  /** Removes what is only kept to save a transfer, until so many bytes are free or there is no more of it. */
  giveUp(bytes: number): void;
};

/** What one agent may use on this receiver, across its folders: files, versions and what waits to be stored. */
export class AgentQuota {
  readonly #bytesMax: number | null;
  readonly #users = new Set<QuotaUser>();

  /** `bytesMax` null: no limit. */
  constructor({ bytesMax }: { bytesMax: number | null }) {
    this.#bytesMax = bytesMax;
  }

  /** Adds a store; the result takes it away again. */
  add(user: QuotaUser): () => void {
    this.#users.add(user);
    return () => void this.#users.delete(user);
  }

  usedBytes(): number {
    return this.#users.values().reduce((sum, user) => sum + user.usedBytes(), 0);
  }

  /** Partial content gives way. @throws CodedError QUOTA_REACHED when so many bytes more would go over the quota. */
  assertRoom(bytes: number): void {
    if (this.#bytesMax === null || bytes === 0) return;
    for (const user of this.#users) {
      const lacking = this.usedBytes() + bytes - this.#bytesMax;
      if (lacking <= 0) return;
      user.giveUp(lacking);
    }
    const used = this.usedBytes();
    if (used + bytes <= this.#bytesMax) return;
    throw new CodedError('QUOTA_REACHED', `the agent uses ${used} of its ${this.#bytesMax} bytes`, {
      hint: 'raise the quota of this agent; nothing that is stored was removed',
      context: { usedBytes: used, quotaBytes: this.#bytesMax, wantedBytes: bytes },
    });
  }
}
