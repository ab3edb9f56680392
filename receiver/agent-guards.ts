import path from 'node:path';
import type { AlarmBoard } from '../shared/alarm-board.ts';
import { CodedError, isCoded, systemErrorCode } from '../shared/errors/coded-error.ts';
import { shortDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { AgentCopies, AgentStore } from './agent-copies.ts';
import { FolderJudge } from './folder-judge.ts';
import { readFreeze, writeFreeze } from './guard/freeze-file.ts';
import {
  hitOf,
  notFrozen,
  released,
  withHit,
  type FreezeState,
  type GuardHit,
} from './guard/freeze-state.ts';
import type { GuardRules } from './guard/guard-rules.ts';

type Deps = {
  copies: AgentCopies;
  alarms: AlarmBoard;
  /** ms by the wall clock, which dates what is received. */
  now: () => number;
  logger: Logger;
};
type Options = { dataDirectory: string; rules: GuardRules };

/**
 * Watches what comes of each agent. What looks like an attack or an accident freezes the expiry of that agent until a person
 * releases it; replication goes on. The freeze is in a plain file, `<data>/<agent>/_freeze.json`: no folder can have that name.
 * @see docs/guards.md
 */
export class AgentGuards {
  readonly #deps: Deps;
  readonly #options: Options;
  readonly #judge: FolderJudge;
  /** What could not be written yet. */
  readonly #unwritten = new Map<DeviceId, FreezeState>();
  /** Agents of whom something could not be judged the last time. */
  readonly #unjudged = new Set<DeviceId>();
  /** Folders that wait for a look. */
  readonly #due = new Set<string>();
  /** One look at an agent after the other. */
  readonly #looks = new Map<DeviceId, Promise<void>>();
  /** How often a person released the agent. */
  readonly #releases = new Map<DeviceId, number>();

  constructor(deps: Deps, options: Options) {
    this.#deps = deps;
    this.#options = options;
    this.#judge = new FolderJudge(deps, options);
  }

  /**
   * To be called when something of a folder has become durable; begins to look closer only where much has come. Never
   * throws.
   */
  noteDurable(agentId: DeviceId, folder: string, store: AgentStore): void {
    const key = `${agentId}/${folder}`;
    void this.#withAlarm(agentId, async () => {
      if (this.#due.has(key) || !this.#judge.isWorthwhile(agentId, folder, store)) return;
      // how much it becomes is told once an hour
      if (store.kind === 'mirror' && hitOf(this.#state(agentId), folder, 'MASS_CHANGE') !== null) return;
      this.#due.add(key);
      void this.#inTurn(agentId, async () => {
        this.#due.delete(key);
        await this.#look(agentId, () => this.#deps.copies.foldersOf(agentId).filter(([id]) => id === folder));
      });
    });
  }

  /**
   * Looks at everything of an agent and tells by alarms what is found. True: nothing of it may expire; so it is as well where
   * something cannot be judged. Never rejects.
   */
  async check(agentId: DeviceId): Promise<boolean> {
    await this.#inTurn(agentId, async () => {
      await this.#look(agentId, () => this.#deps.copies.foldersOf(agentId));
      this.#unjudged.delete(agentId);
    });
    return this.isFrozen(agentId);
  }

  /** Waits for the looks that are under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#looks.values());
  }

  /** Without a look at what has come since the last check. */
  isFrozen(agentId: DeviceId): boolean {
    return this.#unjudged.has(agentId) || this.hits(agentId).length > 0;
  }

  /** Why the agent is frozen; nothing where it is not. */
  hits(agentId: DeviceId): readonly GuardHit[] {
    return this.#state(agentId).hits;
  }

  /**
   * Ends the freeze of an agent and gives what is released. What came up to now does not freeze it again. Durable when it
   * returns.
   * @throws CodedError DISK_FAILED; then it stays frozen
   */
  release(agentId: DeviceId): readonly GuardHit[] {
    const { copies, now, logger } = this.#deps;
    const state = this.#state(agentId);
    if (state.hits.length === 0) return [];
    const stores = new Map(copies.foldersOf(agentId));
    const next = released(state, new Date(now()).toISOString(), ({ folder }) => {
      const store = stores.get(folder);
      const keyIds = store?.kind === 'sealed' ? store.recipients().keyIds : null;
      return { at: Math.max(now(), store?.changedAt() ?? 0), keyIds: keyIds === null ? null : [...keyIds] };
    });
    this.#write(agentId, next);
    this.#releases.set(agentId, this.#releasesOf(agentId) + 1);
    this.#tell(agentId, next);
    logger.warn(
      { agentId, released: state.hits.map(({ folder, code, since }) => ({ folder, code, since })) },
      'a person released the freeze: expiry goes on',
    );
    return state.hits;
  }

  /** `stores`: asked again where the answer is old, because a person released the agent or a store was opened anew. */
  async #look(agentId: DeviceId, stores: () => [string, AgentStore][]): Promise<void> {
    for (;;) {
      const before = this.#state(agentId);
      const [releases, looked] = [this.#releasesOf(agentId), stores()];
      let state = before;
      const failures: unknown[] = [];
      for (const [folder, store] of looked) {
        try {
          for (const hit of await this.#judge.hitsOf(agentId, folder, store, state))
            state = withHit(state, hit);
        } catch (error) {
          failures.push(error);
        }
      }
      const isOld =
        this.#releasesOf(agentId) !== releases || (failures.length > 0 && !isSame(looked, stores()));
      if (isOld) continue;
      this.#tell(agentId, state);
      this.#keep(agentId, before, state);
      if (failures.length > 0) throw failures[0];
      return;
    }
  }

  /** Never rejects. */
  #inTurn(agentId: DeviceId, look: () => Promise<void>): Promise<void> {
    const before = this.#looks.get(agentId) ?? Promise.resolve();
    const run = before.then(async () => this.#withAlarm(agentId, look));
    this.#looks.set(agentId, run);
    return run;
  }

  #releasesOf(agentId: DeviceId): number {
    return this.#releases.get(agentId) ?? 0;
  }

  #keep(agentId: DeviceId, before: FreezeState, state: FreezeState): void {
    const isNews = JSON.stringify(state.hits) !== JSON.stringify(before.hits);
    if (!isNews && !this.#unwritten.has(agentId)) return;
    // frozen at once, also where the disk does not take it
    this.#unwritten.set(agentId, state);
    this.#write(agentId, state);
  }

  #write(agentId: DeviceId, state: FreezeState): void {
    try {
      writeFreeze(this.#file(agentId), state);
    } catch (error) {
      const why = systemErrorCode(error) ?? String(error);
      throw new CodedError('DISK_FAILED', `${this.#file(agentId)} cannot be written: ${why}`, {
        hint: 'the agent stays frozen until it can be',
        cause: error,
      });
    }
    this.#unwritten.delete(agentId);
  }

  #tell(agentId: DeviceId, { hits }: FreezeState): void {
    const { alarms } = this.#deps;
    const agent = this.#nameOf(agentId);
    const keyOf = ({ folder, code }: GuardHit): string => `${alarmBeginning(agentId)}${folder ?? ''} ${code}`;
    const told = new Set(hits.map(keyOf));
    for (const key of alarms.keysOf(alarmBeginning(agentId))) if (!told.has(key)) alarms.clear(key);
    for (const hit of hits) {
      const { code, what } = hit;
      alarms.raise(
        keyOf(hit),
        code,
        `${what}; nothing of agent ${agent} expires any more: look at the server, and when all is well "mastokeep-receiver release --agent ${agent}"`,
      );
    }
  }

  #state(agentId: DeviceId): FreezeState {
    const unwritten = this.#unwritten.get(agentId);
    if (unwritten !== undefined) return unwritten;
    try {
      return readFreeze(this.#file(agentId));
    } catch (error) {
      if (!isCoded(error, 'FREEZE_UNKNOWN')) throw error;
      const what = `whether agent ${this.#nameOf(agentId)} was frozen is not known: ${error.message}`;
      const since = new Date(this.#deps.now()).toISOString();
      return withHit(notFrozen, { folder: null, code: 'FREEZE_UNKNOWN', since, from: 0, what });
    }
  }

  async #withAlarm(agentId: DeviceId, action: () => Promise<void>): Promise<void> {
    const { alarms } = this.#deps;
    const key = `guard of ${agentId} fails`;
    try {
      await action();
      if (!this.#unjudged.has(agentId)) alarms.clear(key);
    } catch (error) {
      this.#unjudged.add(agentId);
      const message = error instanceof Error ? error.message : String(error);
      alarms.raise(
        key,
        isCoded(error) ? error.code : 'INTERNAL',
        `the guards of agent ${this.#nameOf(agentId)} fail, so nothing of it expires: ${message}`,
      );
    }
  }

  /** Of the device that goes on with the data; where nobody can say which that is, of the first one. */
  #nameOf(agentId: DeviceId): string {
    try {
      return shortDeviceId(this.#deps.copies.successions.currentOf(agentId));
    } catch (error) {
      if (!isCoded(error)) throw error;
      return shortDeviceId(agentId);
    }
  }

  #file(agentId: DeviceId): string {
    return path.join(this.#options.dataDirectory, agentId, '_freeze.json');
  }
}

function isSame(looked: [string, AgentStore][], now: [string, AgentStore][]): boolean {
  const stores = new Map(now);
  return looked.every(([folder, store]) => stores.get(folder) === store);
}

function alarmBeginning(agentId: DeviceId): string {
  return `guard ${agentId}/`;
}
