import { setTimeout as delay } from 'node:timers/promises';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { activeReceivers, type ReceiverFacts } from './known-packs.ts';
import type { SealIndex } from './seal-index.ts';
import { chooseDelivered, chooseEvictions } from './spool-policy.ts';
import type { Spool } from './spool.ts';

export type SpoolKeeperDeps = {
  index: SealIndex;
  spool: Spool;
  now: () => number;
  /** Called when something left the spool or a receiver came further. */
  onChange: () => void;
};

export type SpoolKeeperOptions = {
  /** Null: 10 GiB, or a fifth of the free disk where that is less. */
  bytesMax: number | null;
  /** How long a dump waits for room before it fails. */
  waitMsMax: number;
};

export const spoolKeeperDefaults: SpoolKeeperOptions = { bytesMax: null, waitMsMax: 10 * 60_000 };

const gib = 1024 ** 3;
const defaultBytesMax = 10 * gib;
const settleDelayMs = 200;
const pollMs = 250;

/** Knows what each receiver holds of a folder, and decides by it what stays in the spool. */
export class SpoolKeeper {
  readonly #deps: SpoolKeeperDeps;
  readonly #options: SpoolKeeperOptions;
  readonly #receivers: Map<string, ReceiverFacts>;
  /** Receivers that reported since the start. */
  readonly #reported = new Set<string>();
  #settling: NodeJS.Timeout | null = null;

  constructor(deps: SpoolKeeperDeps, options: SpoolKeeperOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#receivers = new Map(deps.index.receivers().map((receiver) => [receiver.receiverId, receiver]));
    this.#reconcile();
  }

  receivers(): ReceiverFacts[] {
    return [...this.#receivers.values()];
  }

  active(): ReceiverFacts[] {
    return activeReceivers(this.receivers(), this.#deps.now());
  }

  durableSequence(receiverId: string): number {
    return this.#receivers.get(receiverId)?.durableSequence ?? 0;
  }

  spoolBytes(): number {
    return this.#deps.index.pendingAfter(0).bytes;
  }

  bytesMax(): number {
    const { bytesMax } = this.#options;
    if (bytesMax !== null) return bytesMax;
    return Math.min(defaultBytesMax, Math.floor((this.#deps.spool.freeBytes() + this.spoolBytes()) / 5));
  }

  /** The receiver reported: everything up to `sequence` is durable there, but what it lacks. */
  acknowledged(receiverId: string, sequence: number): void {
    const before = this.#receivers.get(receiverId);
    const begins =
      before === undefined || sequence < before.durableSequence || !this.#reported.has(receiverId);
    this.#reported.add(receiverId);
    this.#receivers.set(receiverId, {
      receiverId,
      durableSequence: sequence,
      lastSeenAt: this.#deps.now(),
      passedOver: false,
    });
    if (begins) this.#deps.index.noteBeginning(receiverId, sequence);
    this.#settleSoon();
  }

  /** The receiver is on a live link. */
  seen(receiverId: string): void {
    const receiver = this.#receivers.get(receiverId);
    if (receiver === undefined) return;
    this.#receivers.set(receiverId, { ...receiver, lastSeenAt: this.#deps.now() });
    this.#settleSoon();
  }

  /** No receiver has acknowledged anything of a new index. */
  restart(): void {
    this.#receivers.clear();
    this.#reported.clear();
    for (const receiver of this.#deps.index.receivers()) this.#receivers.set(receiver.receiverId, receiver);
  }

  forget(receiverId: string): void {
    this.#receivers.delete(receiverId);
    this.#reported.delete(receiverId);
    this.#deps.index.forgetReceiver(receiverId);
  }

  /** Writes down what receivers reported and removes what nobody waits for. Durable when it returns. */
  settle(): void {
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#settling = null;
    const { index } = this.#deps;
    index.saveReceivers(this.#receivers.values());
    this.#remove(chooseDelivered(index.spooled(), this.active()));
  }

  /** An object in the spool turned out to be damaged or gone. */
  lose(objectId: number): void {
    this.#remove([objectId]);
  }

  /**
   * Resolves when `bytes` more may come into the spool.
   * @throws CodedError SPOOL_FULL after the longest wait, the signal's reason
   */
  async waitForRoom(bytes: number, signal: AbortSignal): Promise<void> {
    const until = this.#deps.now() + this.#options.waitMsMax;
    while (!this.#makeRoom(bytes)) {
      if (this.#deps.now() >= until) {
        throw new CodedError(
          'SPOOL_FULL',
          `the spool has reached ${this.bytesMax()} bytes, and no receiver holds any of it yet`,
          { hint: 'connect a receiver, or allow a larger spool with spool.bytesMax' },
        );
      }
      await delay(pollMs, undefined, { signal });
    }
  }

  close(): void {
    this.settle();
  }

  #makeRoom(bytes: number): boolean {
    const fits = (): boolean => this.spoolBytes() + bytes <= this.bytesMax();
    if (fits()) return true;
    this.settle();
    if (fits()) return true;
    const excess = this.spoolBytes() + bytes - this.bytesMax();
    const evictions = chooseEvictions(this.#deps.index.spooled(), this.receivers(), excess);
    if (evictions === null) return false;
    for (const receiverId of evictions.passedOver) {
      const receiver = this.#receivers.get(receiverId);
      if (receiver !== undefined) this.#receivers.set(receiverId, { ...receiver, passedOver: true });
    }
    this.#deps.index.saveReceivers(this.#receivers.values());
    this.#remove(evictions.objects);
    return true;
  }

  #remove(ids: readonly number[]): void {
    if (ids.length === 0) return;
    const { index, spool, onChange } = this.#deps;
    const names = ids.flatMap((id) => index.object(id)?.name ?? []);
    index.leaveSpool(ids, this.receivers());
    spool.remove(names);
    onChange();
  }

  #settleSoon(): void {
    this.#settling ??= setTimeout(() => this.settle(), settleDelayMs);
    this.#settling.unref();
  }

  /** After a start: files without a row go, rows without a file are no longer in the spool. */
  #reconcile(): void {
    const { index, spool } = this.#deps;
    const spooled = index.spooled();
    const lost = spooled.filter(({ name, bytes }) => !spool.holds(name, bytes)).map(({ id }) => id);
    if (lost.length > 0) index.leaveSpool(lost, this.receivers());
    spool.removeOthers(new Set(index.spooled().map(({ name }) => name)));
  }
}
