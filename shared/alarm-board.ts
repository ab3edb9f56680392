import type { ErrorCode } from './errors/error-table.ts';
import type { Logger } from './io/logger.ts';

/** Something that a person must look at; `since` is ISO 8601. It stays in `status` until it is over. */
export type Alarm = { readonly code: ErrorCode; readonly message: string; readonly since: string };

/** The alarms of a running program. Each has a key of its own: what it is about. */
export class AlarmBoard {
  readonly #alarms = new Map<string, Alarm>();
  readonly #logger: Logger;
  readonly #now: () => number;

  constructor(deps: { logger: Logger; now: () => number }) {
    this.#logger = deps.logger;
    this.#now = deps.now;
  }

  /** Raises the alarm, or corrects its text; it is logged when it is new or has another code. */
  raise(key: string, code: ErrorCode, message: string): void {
    const before = this.#alarms.get(key);
    const isNews = before?.code !== code;
    const since = before === undefined || isNews ? new Date(this.#now()).toISOString() : before.since;
    this.#alarms.set(key, { code, message, since });
    if (isNews) this.#logger.error({ code, about: key, detail: message }, 'alarm');
  }

  /** Ends the alarm where there is one. */
  clear(key: string): void {
    const before = this.#alarms.get(key);
    if (before === undefined) return;
    this.#alarms.delete(key);
    this.#logger.info({ code: before.code, about: key }, 'alarm is over');
  }

  /** The keys that begin so. */
  keysOf(beginning: string): string[] {
    return [...this.#alarms.keys()].filter((key) => key.startsWith(beginning));
  }

  /** Oldest first. */
  list(): Alarm[] {
    return [...this.#alarms.values()];
  }
}
