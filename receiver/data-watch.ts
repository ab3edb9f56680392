import type { AlarmBoard } from '../shared/alarm-board.ts';
import { isCoded } from '../shared/errors/coded-error.ts';
import { shortDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { AgentCopies } from './agent-copies.ts';
import type { HeldFolder } from './copy-places.ts';

const checkIntervalMs = 5000;
/** A store that failed is opened anew after so many checks, as its disk may be full or dying. */
const reopenChecks = 12;

type Deps = {
  copies: AgentCopies;
  alarms: AlarmBoard;
  logger: Logger;
  /** Runs the action while nothing is pulled from that agent. */
  withoutSession: (agentId: DeviceId, action: () => Promise<void>) => Promise<void>;
};

/**
 * Notices when the disk with the copies vanishes while the receiver runs, and when it is back: stores whose directory
 * is gone are closed with an alarm and take nothing, and are opened again as soon as it is there. A store that failed
 * otherwise (a write that found no room) and that no session opens anew, is opened anew after a minute, again and again.
 */
export class DataWatch {
  readonly #deps: Deps;
  readonly #lost = new Map<string, HeldFolder>();
  /** Of stores that failed: the checks until they are opened anew. */
  readonly #failed = new Map<string, HeldFolder & { checksLeft: number }>();
  #timer: NodeJS.Timeout | null = null;
  #checking: Promise<void> = Promise.resolve();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      this.#checking = this.#checkAgain();
    }, checkIntervalMs);
  }

  /** Waits for a check that is under way. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#checking;
  }

  /** Never rejects. */
  async #checkAgain(): Promise<void> {
    try {
      await this.check();
    } catch (error) {
      this.#deps.logger.error({ err: error }, 'the copies could not be looked at; that is tried again');
    }
    if (this.#timer !== null) this.start();
  }

  /** Looks at all copies once. */
  async check(): Promise<void> {
    const { copies, logger, withoutSession } = this.#deps;
    for (const agentId of copies.agentIds()) {
      for (const [folder, store] of copies.foldersOf(agentId)) {
        if (store.isInPlace()) continue;
        await withoutSession(agentId, () => copies.closeStore(agentId, folder));
        this.#lost.set(`${agentId}/${folder}`, { agentId, folder });
        logger.warn({ agentId, folder }, 'the directory of a copy has vanished; the copy is closed');
      }
    }
    await this.#reopenFailed();
    for (const lost of copies.places.vanished()) this.#lost.set(`${lost.agentId}/${lost.folder}`, lost);
    for (const [key, { agentId, folder }] of this.#lost) {
      if (copies.places.hasVanished(agentId, folder)) {
        this.#alarm(agentId, folder, copies.places.missing(agentId, folder));
        continue;
      }
      this.#lost.delete(key);
      try {
        await copies.open(agentId, folder);
        this.#deps.alarms.clear(alarmKey(agentId, folder));
        logger.info({ agentId, folder }, 'the directory of a copy is back; the copy is open again');
      } catch (error) {
        this.#alarm(agentId, folder, error);
      }
    }
  }

  async #reopenFailed(): Promise<void> {
    const { alarms, copies, logger, withoutSession } = this.#deps;
    for (const agentId of copies.agentIds()) {
      for (const [folder, store] of copies.foldersOf(agentId)) {
        const key = `${agentId}/${folder}`;
        if (!store.mustReopen) this.#failed.delete(key);
        else if (!this.#failed.has(key)) this.#failed.set(key, { agentId, folder, checksLeft: reopenChecks });
      }
    }
    for (const [key, failed] of this.#failed) {
      failed.checksLeft -= 1;
      if (failed.checksLeft > 0) continue;
      failed.checksLeft = reopenChecks;
      const { agentId, folder } = failed;
      try {
        await withoutSession(agentId, async () => {
          await copies.closeStore(agentId, folder);
          await copies.open(agentId, folder);
        });
        this.#failed.delete(key);
        alarms.clear(alarmKey(agentId, folder));
        logger.info({ agentId, folder }, 'the copy had failed and is open again');
      } catch (error) {
        this.#alarm(agentId, folder, error);
      }
    }
  }

  #alarm(agentId: DeviceId, folder: string, error: unknown): void {
    const hint = isCoded(error) && error.hint !== null ? `; ${error.hint}` : '';
    const message = `${error instanceof Error ? error.message : String(error)}${hint}`;
    this.#deps.alarms.raise(
      alarmKey(agentId, folder),
      isCoded(error) ? error.code : 'INTERNAL',
      `the copy of folder ${folder} of agent ${shortDeviceId(agentId)} cannot be opened: ${message}`,
    );
  }
}

function alarmKey(agentId: DeviceId, folder: string): string {
  return `folder ${agentId}/${folder} opening`;
}
