import type { AlarmBoard } from '../shared/alarm-board.ts';
import { isCoded } from '../shared/errors/coded-error.ts';
import { shortDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { AgentCopies, HeldFolder } from './agent-copies.ts';

const checkIntervalMs = 5000;

type Deps = {
  copies: AgentCopies;
  alarms: AlarmBoard;
  logger: Logger;
  /** Runs the action while nothing is pulled from that agent. */
  withoutSession: (agentId: DeviceId, action: () => Promise<void>) => Promise<void>;
};

/**
 * Notices when the disk with the copies vanishes while the receiver runs, and when it is back: stores whose directory
 * is gone are closed with an alarm and take nothing, and are opened again as soon as it is there.
 */
export class DataWatch {
  readonly #deps: Deps;
  readonly #lost = new Map<string, HeldFolder>();
  #timer: NodeJS.Timeout | null = null;
  #checking: Promise<void> = Promise.resolve();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      this.#checking = this.check().finally(() => {
        if (this.#timer !== null) this.start();
      });
    }, checkIntervalMs);
  }

  /** Waits for a check that is under way. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#checking;
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
    for (const lost of copies.vanished()) this.#lost.set(`${lost.agentId}/${lost.folder}`, lost);
    for (const [key, { agentId, folder }] of this.#lost) {
      if (copies.hasVanished(agentId, folder)) {
        this.#alarm(agentId, folder, copies.missing(agentId, folder));
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
