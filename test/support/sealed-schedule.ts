import fs from 'node:fs';
import path from 'node:path';
import type { SealedFolderConfig, SealedSourceConfig } from '../../agent/config.ts';
import {
  SealedFolders,
  type SealedFolderStatus,
  type SealedFoldersDeps,
} from '../../agent/seal/sealed-folders.ts';
import { RecipientDirectory } from '../../agent/seal/recipient-directory.ts';
import { createDeviceIdentity, type DeviceIdentity } from '../../shared/identity/device-identity.ts';
import { homeAt, type Home } from '../../shared/io/home.ts';
import { LogRecorder } from './log-recorder.ts';
import { createTestKey } from './sealed-bench.ts';
import { until } from './until.ts';

type Tick = { intervalMs: number; dueMs: number; callback: () => void };

/** The sealed folders of an agent whose clock stands still but for `pass`. */
export class SealedSchedule {
  readonly home: Home;
  readonly recipients: RecipientDirectory;
  readonly log = new LogRecorder();
  nowMs: number;
  folders: SealedFolders;
  /** What is done around a round of dumps; no restore point comes of it unless a test says so. */
  around: SealedFoldersDeps['around'] = async (_, work) => ({
    result: (await work({ onFirstOutput: () => {} })).result,
    point: Promise.resolve(null),
  });
  readonly #identity: DeviceIdentity;
  readonly #ticks = new Set<Tick>();
  #configs: SealedFolderConfig[] = [];

  private constructor(home: Home, identity: DeviceIdentity, nowMs: number) {
    this.home = home;
    this.recipients = new RecipientDirectory(home);
    this.#identity = identity;
    this.nowMs = nowMs;
    this.folders = this.#create();
  }

  static async create(directory: string, nowMs: number): Promise<SealedSchedule> {
    const home = homeAt(path.join(directory, 'home'), 'agent.yaml');
    fs.mkdirSync(home.directory);
    const bench = new SealedSchedule(home, await createDeviceIdentity(home.directory), nowMs);
    const { publicArmored } = await createTestKey('owner');
    await bench.recipients.add({ name: 'owner', content: publicArmored });
    return bench;
  }

  add(id: string, source: SealedSourceConfig, schedule = '40 * * * *'): void {
    const config: SealedFolderConfig = { id, kind: 'sealed', source, schedule };
    this.#configs.push(config);
    this.folders.add(config);
  }

  /** Lets time pass: the agent looks at its schedules as often as it does, and dumps that begin run to their end. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      const next = [...this.#ticks].toSorted((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      next.dueMs += next.intervalMs;
      next.callback();
      await this.settled();
    }
    this.nowMs = endMs;
  }

  /** Time passes in one leap, as for a machine that sleeps or while a dump runs; waits for nothing. */
  leap(ms: number): void {
    this.nowMs += ms;
    for (const tick of this.#ticks) {
      tick.dueMs = this.nowMs + tick.intervalMs;
      tick.callback();
    }
  }

  /** Ends the agent and starts it again, `ms` later. */
  async restart(ms: number): Promise<void> {
    await this.folders.stop();
    this.nowMs += ms;
    this.folders = this.#create();
    for (const config of this.#configs) this.folders.add(config);
    this.folders.start();
    await this.settled();
  }

  status(id: string): SealedFolderStatus {
    const found = this.folders.status().find(({ config }) => config.id === id);
    if (found === undefined) throw new Error(`there is no folder ${id}`);
    return found;
  }

  /** Numbers of the versions that were made. */
  versions(id: string): number[] {
    return this.log.lines.flatMap((line) =>
      line.message === 'made a version' && line['folder'] === id ? [line['version'] as number] : [],
    );
  }

  /** No dump runs or waits. */
  async settled(): Promise<void> {
    await until('no dump runs', () => this.folders.status().every(({ state }) => state === 'idle'), {
      everyMs: 2,
    });
  }

  #create(): SealedFolders {
    return new SealedFolders(
      {
        home: this.home,
        identity: this.#identity,
        logger: this.log,
        now: () => this.nowMs,
        every: (intervalMs, callback) => {
          const tick = { intervalMs, dueMs: this.nowMs + intervalMs, callback };
          this.#ticks.add(tick);
          return () => this.#ticks.delete(tick);
        },
        connected: () => [],
        around: async (asked, work) => this.around(asked, work),
      },
      { spoolBytesMax: null },
    );
  }
}
