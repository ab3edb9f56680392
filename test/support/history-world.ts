import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { provePoint, type KeptHistory, type PointProof } from '../../receiver/points/folder-evidence.ts';
import { PointBook, type HeldPoint } from '../../receiver/points/point-book.ts';
import { longestKeptMs, type PointRules } from '../../receiver/retention/point-retention.ts';
import { HeldContentSource } from '../../receiver/serve/held-content.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { encodePointRecord, pointId, type PointRecord } from '../../shared/sealing/point-record.ts';
import { signRecord } from '../../shared/sealing/signed-record.ts';
import { dyingDisk } from './faulty-disk.ts';
import { IntervalHistory } from './interval-history.ts';
import {
  agentPrivateKey,
  agentPublicKey,
  packObject,
  SealedFeedFake,
  sealedAgentId,
  sealedStoreFixture,
  versionObjects,
  type SealedObject,
} from './sealed-store-fixture.ts';
import { sendHistory } from './send-history.ts';
import { storeFixture } from './store-fixture.ts';
import { removeDatabase } from './store-harness.ts';

export type MadeVersion = { number: number; hash: string; objects: SealedObject[]; isWhole: boolean };

/** Nothing is kept for its time alone, so that what is kept can be told in a sentence. */
export const worldRules: PointRules = {
  hourlyDays: 0,
  dailyDays: 0,
  weeklyWeeks: 0,
  monthlyMonths: 0,
  newestComplete: 2,
  floorDays: 3,
};

/**
 * An agent with a mirror and a sealed folder, and all that a receiver keeps of it: both stores and the restore points. The disk
 * may die under any of it, which is a kill as far as the files tell.
 */
export class HistoryWorld {
  readonly history = new IntervalHistory();
  readonly versions: MadeVersion[] = [];
  now = 1_800_000_000_000;
  mirror!: MirrorStore;
  sealed!: SealedStore;
  book!: PointBook;
  readonly #directory: string;
  readonly #mortal = dyingDisk(nodeDisk);
  readonly #mirrorFixture;
  readonly #sealedFixture;
  readonly #feed = new SealedFeedFake(() => this.sealed);
  #inFlight: { batch: NonNullable<ReturnType<IntervalHistory['next']>>; gone: string[] } | null = null;
  #pointNumber = 0;

  constructor(directory: string) {
    this.#directory = directory;
    const deps = { disk: this.#mortal.disk, now: () => (this.now += 1) };
    const retention = { kind: 'points', floorDays: worldRules.floorDays } as const;
    this.#mirrorFixture = storeFixture(directory, deps, { retention, journalSegmentBytesMax: 20_000 });
    this.#sealedFixture = sealedStoreFixture(directory, deps, { journalSegmentBytesMax: 20_000 });
  }

  get mirrorRoot(): string {
    return this.#mirrorFixture.root;
  }

  get sealedRoot(): string {
    return this.#sealedFixture.root;
  }

  async open(): Promise<void> {
    this.mirror = await this.#mirrorFixture.open();
    this.sealed = await this.#sealedFixture.open();
    this.book = await this.#openBook();
  }

  async close(): Promise<void> {
    await this.book.close();
    await this.mirror.close();
    await this.sealed.close();
    expect(this.#sealedFixture.refused).toEqual([]);
  }

  /** `between`: what happens to the files while nothing runs. */
  async restart({ losingDatabase = false, between = () => {} } = {}): Promise<void> {
    await this.close();
    if (losingDatabase)
      for (const { databasePath } of [this.#mirrorFixture, this.#sealedFixture]) removeDatabase(databasePath);
    between();
    await this.open();
    this.#followPositions();
  }

  /** Does it on a disk that dies after so many calls (null: never); false: it died, and all was opened again. */
  async survives(calls: number | null, action: () => Promise<void>): Promise<boolean> {
    if (calls !== null) this.#mortal.dieAfter(calls);
    try {
      await action();
      return true;
    } catch (error) {
      if (!isCoded(error, 'DISK_FAILED')) throw error;
      this.#mortal.revive();
      await this.restart();
      return false;
    } finally {
      this.#mortal.revive();
    }
  }

  /** All that is later; what `gone` names had vanished when it was asked for. */
  async send(gone: string[]): Promise<void> {
    const batch = this.history.next(99);
    if (batch !== null) this.#inFlight = { batch, gone };
    await sendHistory([this.mirror], this.history, { limit: 99, gone });
    this.#inFlight = null;
    const position = this.mirror.position();
    if (position !== null && this.history.isCaughtUp) await this.mirror.completeIndex(position);
  }

  /** A version that shares packs with others; `losing` one of them, which had vanished when it was asked for. */
  async dump(losing: boolean): Promise<void> {
    const number = this.versions.length + 1;
    const packs = [`root ${number}`, `p${number % 4}`, `p${(number * 3 + 1) % 4}`];
    const objects = [...new Set(packs)].map(packObject);
    const previous = this.versions.at(-1)?.hash ?? null;
    const { json, signature, hash } = versionObjects(number, objects, { previous });
    const made = { number, hash, objects: [...objects, json, signature], isWhole: false };
    this.versions.push(made);
    const gone = losing ? objects.slice(0, 1) : [];
    await this.#feed.send(objects.slice(gone.length), { gone });
    await this.#feed.send([json, signature]);
    made.isWhole = !losing;
  }

  /** A point from that sequence to what was announced last, naming the newest version. */
  async point(from: number): Promise<{ held: boolean; code: string | null }> {
    this.now += 600_000;
    const { index, sequence } = this.history;
    const version = this.versions.at(-1);
    const indexId = index.id.toString('hex');
    const folders: PointRecord['folders'] = [
      { id: 'media', kind: 'mirror', index: indexId, from, to: sequence },
    ];
    if (version !== undefined) {
      const { number, hash: record } = version;
      folders.push({ id: 'database', kind: 'sealed', epoch: '00000000000000aa', number, record });
    }
    this.#pointNumber += 1;
    const createdAt = new Date(this.now).toISOString();
    const fields = { agent: sealedAgentId, number: this.#pointNumber, createdAt, previous: null };
    const record = encodePointRecord({ ...fields, cause: 'hourly', pin: null, folders });
    return await this.book.take(record, signRecord(record, agentPrivateKey));
  }

  prove({ record }: Pick<HeldPoint, 'record'>): PointProof {
    return provePoint(record, (folder) => (folder === 'media' ? this.mirror : this.sealed));
  }

  /** As a receiver does every hour. */
  async expire(): Promise<void> {
    await this.book.expire(
      worldRules,
      (record) =>
        (record === null ? null : this.prove({ record }).incompleteFiles) ?? Number.MAX_SAFE_INTEGER,
    );
    await this.mirror.expire(this.now, this.#kept('media'));
    await this.sealed.expire(this.now, this.#kept('database'));
  }

  /** What a restore gets of that content; null: nothing. */
  async read(hash: Buffer): Promise<Buffer | null> {
    const copies = (wanted: Buffer) =>
      [this.mirror, this.sealed].flatMap((store) =>
        store.copies(wanted).map((open) => ({ open, isSealed: store.kind === 'sealed' })),
      );
    const content = await new HeldContentSource({ copies }).open('', '' as RelativePath, hash);
    if (typeof content === 'string') return null;
    const bytes = Buffer.alloc(content.size);
    const length = await content.read(0, bytes);
    content.close();
    return length === bytes.length ? bytes : null;
  }

  /** The files of a point. */
  pointFile({ record }: HeldPoint): string {
    const id = pointId(record, encodePointRecord(record));
    return path.join(this.#pointsDirectory, `${id}.json`);
  }

  /** Makes the databases what no database is. */
  spoilDatabases(): void {
    for (const { databasePath } of [this.#mirrorFixture, this.#sealedFixture]) {
      removeDatabase(databasePath);
      fs.writeFileSync(databasePath, 'SQLite format 3\0 and then nothing of the kind');
    }
  }

  get #pointsDirectory(): string {
    return path.join(this.#directory, 'data', sealedAgentId, 'points');
  }

  #kept(folder: string): KeptHistory {
    const { book } = this;
    const { newestComplete, floorDays } = worldRules;
    const parts = book.needed().flatMap(({ folders }) => folders.filter(({ id }) => id === folder));
    return { parts, longestMs: longestKeptMs(worldRules), newestComplete, floorDays };
  }

  #openBook(): Promise<PointBook> {
    const clock = (): number => this.now;
    const deps = {
      disk: this.#mortal.disk,
      agentKey: () => agentPublicKey,
      retentionNow: clock,
      now: clock,
      steadyNow: clock,
      isForgotten: ({ folders }: PointRecord) => folders.some((part) => this.mirror.hasForgotten(part)),
      logger: silentLogger,
    };
    return PointBook.open(deps, { directory: this.#pointsDirectory, agent: sealedAgentId });
  }

  /** The agent goes on from what the receiver says that it has. */
  #followPositions(): void {
    const position = this.mirror.position();
    const { index } = this.history;
    const reached = position?.indexId.equals(index.id) === true ? position.sequence : 0;
    if (this.#inFlight !== null && this.#inFlight.batch.through === reached)
      this.history.delivered(this.#inFlight.batch, new Set(this.#inFlight.gone));
    this.history.rewind(reached);
    this.#inFlight = null;
    this.#feed.sequence = this.sealed.position()?.sequence ?? 0;
  }
}
