import type { DeviceId } from '../../shared/identity/device-id.ts';
import { TokenBucket } from './token-bucket.ts';

const kib = 1024;

/** Somebody who wants to send up to `bytes`; `granted` of them may go once it is not null. */
export type UploadTurn = {
  readonly receiverId: DeviceId;
  readonly bytes: number;
  /** Bytes of its receiver, on the scale of all, at which its turn has come. */
  readonly place: number;
  granted: number | null;
};

type Lane = { bucket: TokenBucket; end: number };
/** KiB a second, null for no limit. */
type Rates = { total: number | null; ofReceiver(receiverId: DeviceId): number | null };

/**
 * Who may send how much and when, under a limit of all and one of each receiver. Time is given in (steady, ms). A piece goes
 * when both limits have room for it; of those that only wait for the limit of all, the receiver goes first that has had the
 * fewest bytes since it began to want some, so that a receiver is never held up by the limit of another and all get the same.
 */
export class UploadTurns {
  readonly #total = new TokenBucket();
  readonly #lanes = new Map<DeviceId, Lane>();
  #rates: Rates = { total: null, ofReceiver: () => null };
  #waiting: UploadTurn[] = [];
  #place = 0;

  /** The limits from this moment on, also for those who wait. */
  setRates(rates: Rates, nowMs: number): void {
    this.#rates = rates;
    this.#total.setRate(bytesPerSecond(rates.total), nowMs);
    for (const [receiverId, { bucket }] of this.#lanes)
      bucket.setRate(bytesPerSecond(rates.ofReceiver(receiverId)), nowMs);
  }

  get someWait(): boolean {
    return this.#waiting.length > 0;
  }

  /** `bytes`: 1 at least. */
  ask(receiverId: DeviceId, bytes: number, nowMs: number): UploadTurn {
    const turn = { receiverId, bytes, place: this.#lane(receiverId, nowMs).end, granted: null };
    this.#waiting.push(turn);
    return turn;
  }

  /** Grants what may go now; `againInMs`: when there may be more, null when nobody waits. */
  grant(nowMs: number): { turns: UploadTurn[]; againInMs: number | null } {
    const turns: UploadTurn[] = [];
    const held = new Set<DeviceId>();
    let againInMs: number | null = null;
    const wait = (ms: number): void => void (againInMs = Math.min(againInMs ?? ms, ms));
    for (const turn of this.#waiting.toSorted((a, b) => a.place - b.place)) {
      // of one receiver the first stays the first
      if (held.has(turn.receiverId)) continue;
      const lane = this.#lane(turn.receiverId, nowMs);
      const piece = Math.min(turn.bytes, lane.bucket.pieceBytesMax, this.#total.pieceBytesMax);
      const ownMs = lane.bucket.waitMs(piece, nowMs);
      if (ownMs > 0) {
        held.add(turn.receiverId);
        wait(ownMs);
        continue;
      }
      const totalMs = this.#total.waitMs(piece, nowMs);
      if (totalMs > 0) {
        // whoever comes later must not take what this one saves up for
        wait(totalMs);
        break;
      }
      turn.granted = piece;
      this.#take(lane, piece, nowMs);
      this.#place = Math.max(this.#place, turn.place);
      turns.push(turn);
    }
    if (turns.length > 0) this.#waiting = this.#waiting.filter(({ granted }) => granted === null);
    return { turns, againInMs };
  }

  /** Went out beyond what was granted; a negative number was granted and did not go out. */
  charge(receiverId: DeviceId, bytes: number, nowMs: number): void {
    this.#take(this.#lane(receiverId, nowMs), bytes, nowMs);
  }

  /** Whoever waited does no longer. */
  withdraw(gone: UploadTurn): void {
    this.#waiting = this.#waiting.filter((turn) => turn !== gone);
  }

  #take(lane: Lane, bytes: number, nowMs: number): void {
    lane.bucket.take(bytes, nowMs);
    this.#total.take(bytes, nowMs);
    // where nothing is shared there are no places: what went then must hold nobody up later
    if (this.#rates.total === null) return;
    // who asks again soon keeps its place; who was away or held back catches up no more than a piece
    lane.end = Math.max(lane.end, this.#place - this.#total.pieceBytesMax) + bytes;
  }

  #lane(receiverId: DeviceId, nowMs: number): Lane {
    let lane = this.#lanes.get(receiverId);
    if (lane === undefined) {
      lane = { bucket: new TokenBucket(), end: this.#place };
      lane.bucket.setRate(bytesPerSecond(this.#rates.ofReceiver(receiverId)), nowMs);
      this.#lanes.set(receiverId, lane);
    }
    return lane;
  }
}

function bytesPerSecond(kibPerSecond: number | null): number | null {
  return kibPerSecond === null ? null : kibPerSecond * kib;
}
