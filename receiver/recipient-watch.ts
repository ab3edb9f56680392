import type { AlarmBoard } from '../shared/alarm-board.ts';
import { shortDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import type { AgentCopies } from './agent-copies.ts';
import type { SealedStore } from './store/sealed-store.ts';

const checkIntervalMs = 3_600_000;
/** So long a change stays an alarm; `status` tells of it for ever. */
const alarmForMs = 7 * 86_400_000;

type Deps = { copies: AgentCopies; alarms: AlarmBoard; now: () => number };

/**
 * Alarms when a sealed folder is sealed to other keys than before: whoever has taken over a server could make dumps that
 * only he can read. The alarm comes back after a restart, because it is read from the versions.
 */
export class RecipientWatch {
  readonly #deps: Deps;
  #interval: NodeJS.Timeout | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Looks at every open store now and every hour. */
  start(): void {
    this.#checkAll();
    this.#interval = setInterval(() => this.#checkAll(), checkIntervalMs);
  }

  stop(): void {
    if (this.#interval !== null) clearInterval(this.#interval);
  }

  /** To be called when versions may have come. */
  check(agentId: DeviceId, folder: string, store: SealedStore): void {
    const { alarms, now } = this.#deps;
    const about = `folder ${agentId}/${folder} recipients`;
    const recent = store.recipients().changes.filter(({ at }) => at > now() - alarmForMs);
    const [latest] = recent;
    if (latest === undefined) {
      alarms.clear(about);
      return;
    }
    const { number, added, removed } = latest;
    const what = [
      ...(added.length > 0 ? [`${added.join(', ')} came`] : []),
      ...(removed.length > 0 ? [`${removed.join(', ')} went`] : []),
    ].join(' and ');
    const more = recent.length > 1 ? `; ${recent.length} changes in seven days, see status` : '';
    alarms.raise(
      about,
      'RECIPIENTS_CHANGED',
      `folder ${folder} of agent ${shortDeviceId(agentId)} is sealed to other keys since version ${number}: ${what}${more}`,
    );
  }

  #checkAll(): void {
    const { copies } = this.#deps;
    for (const agentId of copies.agentIds()) {
      for (const [folder, store] of copies.foldersOf(agentId)) {
        if (store.kind === 'sealed') this.check(agentId, folder, store);
      }
    }
  }
}
