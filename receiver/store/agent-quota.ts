import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';

/** What a record costs of the quota besides its content, so that records without bytes cannot grow without end. */
export const recordBytes = 512;

/** One store of the agent. */
type QuotaUser = {
  usedBytes(): number;
  /** Removes what is only kept to save a transfer, until so many bytes are free or there is no more of it. */
  giveUp(bytes: number): void;
};

/** The quota as the stores of one kind of folders see it. */
export type FolderQuota = {
  /** Adds a store; the result takes it away again. */
  add(user: QuotaUser): () => void;
  /** Partial content gives way. @throws CodedError QUOTA_REACHED when there is no room for so many bytes more. */
  assertRoom(bytes: number): void;
  /** Removes partial content of the agent, in any of its folders, until so many bytes are free or nothing is left of it. */
  giveUp(bytes: number): void;
};

/**
 * What one agent may use on this receiver, across its folders: files, versions and what waits to be stored. The last
 * part of it is kept for sealed folders, so that it is the mirrors that are refused first.
 */
export class AgentQuota {
  readonly #bytesMax: number | null;
  readonly #reservedBytes: number;
  readonly #users = new Set<QuotaUser>();

  /** `bytesMax` null: no limit. `sealedReserve`: the share of it, 0 to 1, that only sealed folders get. */
  constructor({ bytesMax, sealedReserve }: { bytesMax: number | null; sealedReserve: number }) {
    this.#bytesMax = bytesMax;
    this.#reservedBytes = Math.floor((bytesMax ?? 0) * sealedReserve);
  }

  usedBytes(): number {
    return this.#users.values().reduce((sum, user) => sum + user.usedBytes(), 0);
  }

  forFolders(kind: 'mirror' | 'sealed'): FolderQuota {
    const reservedBytes = kind === 'mirror' ? this.#reservedBytes : 0;
    return {
      add: (user) => {
        this.#users.add(user);
        return () => void this.#users.delete(user);
      },
      assertRoom: (bytes) => this.#assertRoom(bytes, reservedBytes),
      giveUp: (bytes) => this.#giveUp(bytes),
    };
  }

  #assertRoom(bytes: number, reservedBytes: number): void {
    if (this.#bytesMax === null || bytes === 0) return;
    const bytesMax = this.#bytesMax - reservedBytes;
    const lacking = this.usedBytes() + bytes - bytesMax;
    if (lacking <= 0) return;
    this.#giveUp(lacking);
    const used = this.usedBytes();
    if (used + bytes <= bytesMax) return;
    const reserve =
      reservedBytes === 0 ? '' : `, of which ${formatByteSize(reservedBytes)} are kept for sealed folders`;
    const what = `the agent uses ${formatByteSize(used)} of its quota of ${formatByteSize(this.#bytesMax)}${reserve}: ${formatByteSize(bytes)} more do not fit`;
    throw new CodedError('QUOTA_REACHED', what, {
      hint: 'raise the quota of this agent; nothing that is stored was removed',
      context: { usedBytes: used, quotaBytes: this.#bytesMax, reservedBytes, wantedBytes: bytes },
    });
  }

  #giveUp(bytes: number): void {
    const target = this.usedBytes() - bytes;
    for (const user of this.#users) {
      const lacking = this.usedBytes() - target;
      if (lacking <= 0) return;
      user.giveUp(lacking);
    }
  }
}
