import { CodedError } from '../../shared/errors/coded-error.ts';

/** What one agent may use on this receiver, across its folders: files, versions and what waits to be stored. */
export class AgentQuota {
  readonly #bytesMax: number | null;
  readonly #users = new Set<() => number>();

  /** `bytesMax` null: no limit. */
  constructor({ bytesMax }: { bytesMax: number | null }) {
    this.#bytesMax = bytesMax;
  }

  /** Adds a store by a function that tells the bytes it uses; the result takes it away again. */
  add(usedBytes: () => number): () => void {
    this.#users.add(usedBytes);
    return () => void this.#users.delete(usedBytes);
  }

  usedBytes(): number {
    return this.#users.values().reduce((sum, usedBytes) => sum + usedBytes(), 0);
  }

  /** @throws CodedError QUOTA_REACHED when so many bytes more would go over the quota. */
  assertRoom(bytes: number): void {
    if (this.#bytesMax === null || bytes === 0) return;
    const used = this.usedBytes();
    if (used + bytes <= this.#bytesMax) return;
    throw new CodedError('QUOTA_REACHED', `the agent uses ${used} of its ${this.#bytesMax} bytes`, {
      hint: 'raise the quota of this agent; nothing that is stored was removed',
      context: { usedBytes: used, quotaBytes: this.#bytesMax, wantedBytes: bytes },
    });
  }
}
