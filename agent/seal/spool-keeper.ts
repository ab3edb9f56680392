import { crashPoint } from '../../shared/io/crash-point.ts';
import { activeReceivers, type ReceiverFacts } from './known-packs.ts';
import type { SealIndex } from './seal-index.ts';
import type { SpoolPart } from './spool-bound.ts';
import { chooseDelivered, type Eviction, type SpoolShare } from './spool-policy.ts';
import type { Spool } from './spool.ts';

export type SpoolKeeperDeps = {
  index: SealIndex;
  spool: Spool;
  now: () => number;
  /** Called when something left the spool or a receiver came further. */
  onChange: () => void;
};

const settleDelayMs = 200;

/** Knows what each receiver holds of a folder, and decides by it what stays in the folder's part of the spool. */
export class SpoolKeeper implements SpoolPart {
  readonly #deps: SpoolKeeperDeps;
  readonly #receivers: Map<string, ReceiverFacts>;
  /** Receivers that reported since the start. */
  readonly #reported = new Set<string>();
  #unsaved = false;
  #settling: NodeJS.Timeout | null = null;

  constructor(deps: SpoolKeeperDeps) {
    this.#deps = deps;
    const receivers = deps.index.confirmations.receivers();
    this.#receivers = new Map(receivers.map((receiver) => [receiver.receiverId, receiver]));
    this.reconcile();
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
    return this.#deps.index.objects.pendingAfter(0).bytes;
  }

  freeBytes(): number {
    return this.#deps.spool.freeBytes();
  }

  share(): SpoolShare {
    return { objects: this.#deps.index.objects.spooled(), receivers: this.receivers() };
  }

  /** The receiver reported: everything up to `sequence` is durable there, but what it lacks. */
  acknowledged(receiverId: string, sequence: number): void {
    const before = this.#receivers.get(receiverId);
    const begins =
      before === undefined || sequence < before.durableSequence || !this.#reported.has(receiverId);
    this.#reported.add(receiverId);
    this.#set({ receiverId, durableSequence: sequence, lastSeenAt: this.#deps.now(), passedOver: false });
    if (begins) this.#deps.index.confirmations.noteBeginning(receiverId, sequence);
    this.#settleSoon();
  }

  /** The receiver is on a live link. */
  seen(receiverId: string): void {
    const receiver = this.#receivers.get(receiverId);
    if (receiver === undefined) return;
    this.#set({ ...receiver, lastSeenAt: this.#deps.now() });
    this.#settleSoon();
  }

  /** No receiver has acknowledged anything of a new index. */
  restart(): void {
    this.#receivers.clear();
    this.#reported.clear();
    for (const receiver of this.#deps.index.confirmations.receivers()) {
      this.#receivers.set(receiver.receiverId, receiver);
    }
  }

  forget(receiverId: string): void {
    this.#receivers.delete(receiverId);
    this.#reported.delete(receiverId);
    this.#deps.index.confirmations.forget(receiverId);
  }

  /** Writes down what receivers reported and removes what nobody waits for. Durable when it returns. */
  settle(): void {
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#settling = null;
    const { objects } = this.#deps.index;
    this.#save();
    this.#remove([
      ...chooseDelivered(objects.spooled(), this.active(), this.#deps.now()),
      ...objects.abandoned(),
    ]);
  }

  /** Lets go at the spool's bound; whoever lacks something of it is not active until it reports again. */
  evict({ objects, passedOver }: Eviction): void {
    for (const receiverId of passedOver) {
      const receiver = this.#receivers.get(receiverId);
      if (receiver !== undefined) this.#set({ ...receiver, passedOver: true });
    }
    this.#save();
    this.#remove(objects);
  }

  /** An object in the spool turned out to be damaged or gone. */
  lose(objectId: number): void {
    this.#remove([objectId]);
  }

  /**
   * After a start, or a dump that broke off: files without a row go, rows without a file are no longer in the spool. Not
   * while anything is being sealed.
   */
  reconcile(): void {
    const { index, spool } = this.#deps;
    const spooled = index.objects.spooled();
    const lost = spooled.filter(({ name, bytes }) => !spool.holds(name, bytes)).map(({ id }) => id);
    if (lost.length > 0) index.objects.leaveSpool(lost, this.receivers());
    spool.removeOthers(new Set(index.objects.spooled().map(({ name }) => name)));
  }

  close(): void {
    this.settle();
  }

  #set(receiver: ReceiverFacts): void {
    this.#receivers.set(receiver.receiverId, receiver);
    this.#unsaved = true;
  }

  #save(): void {
    if (!this.#unsaved) return;
    this.#deps.index.confirmations.save(this.#receivers.values());
    this.#unsaved = false;
  }

  #remove(ids: readonly number[]): void {
    if (ids.length === 0) return;
    const { index, spool, onChange } = this.#deps;
    const names = ids.flatMap((id) => index.objects.byId(id)?.name ?? []);
    index.objects.leaveSpool(ids, this.receivers());
    crashPoint('seal.spool-left');
    spool.remove(names);
    crashPoint('seal.spool-removed');
    onChange();
  }

  #settleSoon(): void {
    this.#settling ??= setTimeout(() => this.settle(), settleDelayMs);
    this.#settling.unref();
  }
}
