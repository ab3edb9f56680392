import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { SendPace } from '../../shared/transfer/send-pace.ts';
import { localMinuteOfDay, uploadRatesAt, type UploadConfig, type UploadRates } from './upload-schedule.ts';
import { UploadTurns, type UploadTurn } from './upload-turns.ts';

const minuteMs = 60_000;

export type UploadLimiterDeps = {
  /** Wall clock, ms: says which period of the schedule holds. */
  now(): number;
  /** ms, never back. */
  steadyNow(): number;
  /** Calls once after that time; gives the function that prevents it. */
  after(ms: number, callback: () => void): () => void;
};

/**
 * The upload limits of an agent, which all its links share: what goes to receivers goes at the pace that this gives, whatever
 * it is. A period of the schedule begins and ends at its minute, for links that are open as well. Counts bytes of messages;
 * TLS and TCP add some per cent.
 */
export class UploadLimiter {
  readonly #deps: UploadLimiterDeps;
  readonly #config: UploadConfig;
  readonly #turns = new UploadTurns();
  readonly #waiting = new Map<UploadTurn, (bytes: number) => void>();
  #rates: UploadRates;
  #minute: number;
  #cancelTimer: (() => void) | null = null;

  constructor(deps: UploadLimiterDeps, config: UploadConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#minute = Math.floor(deps.now() / minuteMs);
    this.#rates = uploadRatesAt(config, localMinuteOfDay(deps.now()));
    this.#turns.setRates(this.#rates, deps.steadyNow());
  }

  /** What holds now. */
  get rates(): UploadRates {
    this.#followClock();
    return this.#rates;
  }

  /** The pace of a new link to this receiver; what earlier links sent counts. */
  pace(receiverId: DeviceId): SendPace {
    const own = new Set<UploadTurn>();
    let ended = false;
    return {
      claim: async (bytes) => {
        const { rates } = this;
        if (ended || (rates.total === null && rates.ofReceiver(receiverId) === null)) return bytes;
        const turn = this.#turns.ask(receiverId, bytes, this.#deps.steadyNow());
        own.add(turn);
        const granted = new Promise<number>((resolve) => this.#waiting.set(turn, resolve));
        this.#grant();
        return granted.finally(() => own.delete(turn));
      },
      sent: (claimed, bytes) => {
        // what was claimed at the end was not taken from anybody
        if (claimed === bytes || (ended && bytes < claimed)) return;
        this.#turns.charge(receiverId, bytes - claimed, this.#deps.steadyNow());
        if (bytes < claimed) this.#grant();
      },
      end: () => {
        ended = true;
        for (const turn of own) {
          this.#turns.withdraw(turn);
          this.#resolve(turn, turn.bytes);
        }
        this.#grant();
      },
    };
  }

  /** To be called once all links have ended. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #followClock(): void {
    const now = this.#deps.now();
    const minute = Math.floor(now / minuteMs);
    if (minute === this.#minute) return;
    this.#minute = minute;
    this.#rates = uploadRatesAt(this.#config, localMinuteOfDay(now));
    this.#turns.setRates(this.#rates, this.#deps.steadyNow());
  }

  #grant(): void {
    this.stop();
    if (this.#waiting.size === 0) return;
    this.#followClock();
    const { turns, againInMs } = this.#turns.grant(this.#deps.steadyNow());
    for (const turn of turns) this.#resolve(turn, turn.granted ?? 0);
    if (againInMs === null) return;
    const minuteLeftMs = minuteMs - (this.#deps.now() % minuteMs);
    this.#cancelTimer = this.#deps.after(Math.ceil(Math.min(againInMs, minuteLeftMs)), () => this.#grant());
  }

  #resolve(turn: UploadTurn, bytes: number): void {
    this.#waiting.get(turn)?.(bytes);
    this.#waiting.delete(turn);
  }
}
