import fs from 'node:fs';
import path from 'node:path';
import type { AgentCopies } from '../../receiver/agent-copies.ts';
import { AgentGuards } from '../../receiver/agent-guards.ts';
import { defaultGuardRules, type GuardRules } from '../../receiver/guard/guard-rules.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { packName } from '../../shared/sealing/object-name.ts';
import { receiverCopies } from './receiver-copies.ts';
import {
  agentPublicKey,
  sealedAgentId,
  SealedFeedFake,
  versionObjects,
  type RecordFields,
  type SealedObject,
} from './sealed-store-fixture.ts';
import { FeedFake, sha256 } from './store-fixture.ts';
import { memoryDirectory } from './temporary-directory.ts';

export const [minuteMs, hourMs] = [60_000, 3_600_000];
export const kib = 1024;

/** As by default, but for folders that are very much smaller. */
export const smallRules: GuardRules = {
  ...defaultGuardRules,
  changes: { share: 0.25, files: 5, bytes: 100 * kib, filesMax: null, bytesMax: null },
  shrinking: { share: 0.5, bytes: kib },
  surge: { times: 10, dumps: 2, bytes: kib },
};

/** The stores of an agent with a mirror and a sealed folder, the guards over them, and a clock that a test moves. */
export class GuardBench {
  now = Date.parse('2026-11-01T00:30:00Z');
  readonly directory = memoryDirectory();
  readonly agent = sealedAgentId;
  copies!: AgentCopies;
  alarms!: AlarmBoard;
  guards!: AgentGuards;
  media!: MirrorStore;
  database!: SealedStore;
  readonly feed = new FeedFake(() => this.media);
  readonly dumps = new SealedFeedFake(() => this.database);
  #packs = 0;
  #number = 0;
  #previous: string | null = null;

  static async open(): Promise<GuardBench> {
    const bench = new GuardBench();
    fs.mkdirSync(path.join(bench.directory, 'data'));
    await bench.openAll();
    return bench;
  }

  /** As at the start of a receiver. */
  async openAll(): Promise<void> {
    const copies = receiverCopies(this.directory, () => this.now);
    this.copies = copies;
    copies.learnKey(this.agent, agentPublicKey.export({ type: 'spki', format: 'der' }));
    this.media = (await copies.open(this.agent, 'media', 'mirror')) as MirrorStore;
    this.database = (await copies.open(this.agent, 'database', 'sealed')) as SealedStore;
    this.openGuards();
  }

  openGuards(rules = smallRules): void {
    const now = (): number => this.now;
    this.alarms = new AlarmBoard({ logger: silentLogger, now });
    this.guards = new AgentGuards(
      { copies: this.copies, alarms: this.alarms, now, logger: silentLogger },
      { dataDirectory: path.join(this.directory, 'data'), rules },
    );
  }

  async dispose(): Promise<void> {
    await this.copies.close();
    fs.rmSync(this.directory, { recursive: true });
  }

  get freezeFile(): string {
    return path.join(this.directory, 'data', this.agent, '_freeze.json');
  }

  check(): Promise<boolean> {
    return this.guards.check(this.agent);
  }

  /** What freezes the agent, in the order in which it was found. */
  codes(): string[] {
    return this.guards.hits(this.agent).map(({ code }) => code);
  }

  alarmCodes(): string[] {
    return this.alarms.list().map(({ code }) => code);
  }

  /** Hours pass, and in each of them everything is looked at, as by the receiver. */
  async pass(hours: number): Promise<void> {
    for (let hour = 0; hour < hours; hour += 1) {
      this.now += hourMs;
      await this.check();
    }
  }

  /** A pack that is like no other. */
  pack(bytes: number): SealedObject {
    this.#packs += 1;
    const content = Buffer.alloc(Math.floor(bytes), `pack ${this.#packs} `);
    return { path: packName(sha256(content)) as RelativePath, content };
  }

  /** A dump that is made of the packs, of which the receiver lacks only `fresh`. */
  async dump(
    packs: readonly SealedObject[],
    fresh: readonly SealedObject[] = packs,
    fields: RecordFields = {},
  ): Promise<void> {
    this.#number += 1;
    const version = versionObjects(this.#number, packs, { previous: this.#previous, ...fields });
    this.#previous = version.hash;
    await this.dumps.send([...fresh, version.json, version.signature]);
  }

  /** A dump of ten packs, and one each day in which one pack is new, and small. Gives the packs of the last one. */
  async dailyDumps(days: number, bytes = 10 * kib): Promise<SealedObject[]> {
    const packs = Array.from({ length: 10 }, () => this.pack(bytes / 10));
    await this.dump(packs);
    for (let day = 0; day < days; day += 1) {
      await this.pass(24);
      const one = this.pack(bytes / 100);
      packs.splice(9, 1, one);
      await this.dump(packs, [one]);
      await this.check();
    }
    return packs;
  }
}

export const names = (count: number, prefix = 'f', from = 0): string[] =>
  Array.from({ length: count }, (_, at) => `${prefix}${from + at}`);
/** Each with a content of its own. */
export const written = (list: readonly string[], content = 'content of'): Record<string, string> =>
  Object.fromEntries(list.map((name) => [name, `${content} ${name}`]));
export const gone = (list: readonly string[]): Record<string, null> =>
  Object.fromEntries(list.map((name) => [name, null]));
