import fs from 'node:fs';
import path from 'node:path';
import type Database from 'better-sqlite3';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { DeviceIdentity } from '../../shared/identity/device-identity.ts';
import type { Home } from '../../shared/io/home.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { SealedFolderConfig } from '../config.ts';
import type { PointMaker, SealedPart } from '../points/point-maker.ts';
import type { ServedFeed, ServedFolders } from '../serve/served-feed.ts';
import {
  decideSchedule,
  parseSchedule,
  type CronSchedule,
  type ScheduleDecision,
} from '../source/schedule.ts';
import { createSource } from './create-source.ts';
import type { DumpResult } from './dumper.ts';
import { RecipientDirectory } from './recipient-directory.ts';
import { openSealDatabase } from './seal-database.ts';
import type { Unreadable } from './seal-index.ts';
import { SealedFolder } from './sealed-folder.ts';
import { SpoolBound, spoolBoundDefaults } from './spool-bound.ts';

export type SealedFoldersDeps = {
  home: Home;
  identity: DeviceIdentity;
  logger: Logger;
  now: () => number;
  /** Calls again and again, so many ms apart; gives the function that ends it. */
  every: (intervalMs: number, callback: () => void) => () => void;
  /** Receivers on a live link. */
  connected: () => readonly string[];
  /** Does a round of dumps, and makes a restore point of it. */
  around: PointMaker['around'];
};

export type SealedFoldersOptions = { spoolBytesMax: number | null };

export type SealedFolderStatus = {
  config: SealedFolderConfig;
  state: 'idle' | 'waiting' | 'dumping';
  /** Why the last run made no version; null when it made one. */
  failure: { message: string; at: number } | null;
  /** Every how many-th moment of the schedule is used: more than 1 where dumps take too long for all. */
  stretch: number;
  /** What the latest version lacks because it could not be read. */
  unreadable: Unreadable;
  packs: number;
  bytes: number;
  sequence: number;
  lastStartedAt: number | null;
  lastVersionAt: number | null;
};

type Entry = {
  config: SealedFolderConfig;
  folder: SealedFolder;
  schedule: CronSchedule;
  waiting: number;
  dumping: boolean;
};

const tickMs = 5000;
const seenEveryMs = 60_000;

/** The sealed folders of a running agent: dumped by their schedules, one at a time, and served. */
export class SealedFolders implements ServedFolders {
  readonly #deps: SealedFoldersDeps;
  readonly #bound: SpoolBound;
  readonly #recipients: RecipientDirectory;
  readonly #entries: Entry[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #stopping = new AbortController();
  readonly #databaseFile: string;
  #database: Database.Database | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #stopTicking: (() => void) | null = null;
  #paused = false;
  #lastSeenAt = 0;

  constructor(deps: SealedFoldersDeps, options: SealedFoldersOptions) {
    this.#deps = deps;
    this.#bound = new SpoolBound(deps.now, { ...spoolBoundDefaults, bytesMax: options.spoolBytesMax });
    this.#recipients = new RecipientDirectory(deps.home);
    this.#databaseFile = path.join(deps.home.directory, 'seal.db');
  }

  /** Offers the folder; with `start`, its schedule counts. @throws CodedError CONFIG_INVALID, DISK_FAILED */
  add(config: SealedFolderConfig): void {
    const { home, identity, logger, now } = this.#deps;
    const schedule = parseSchedule(config.schedule);
    const source = createSource(config.source);
    this.#database ??= this.#openDatabase();
    const folder = new SealedFolder(
      {
        database: this.#database,
        databaseFile: this.#databaseFile,
        source,
        bound: this.#bound,
        identity,
        sealTo: async () => this.#recipients.sealTo(),
        logger,
        now,
      },
      {
        folder: config.id,
        spoolDirectory: path.join(home.directory, 'spool', config.id),
      },
    );
    this.#entries.push({ config, folder, schedule, waiting: 0, dumping: false });
    for (const listener of this.#listeners) listener();
  }

  /** Dumps that are due begin from here on. */
  start(): void {
    this.#stopTicking ??= this.#deps.every(tickMs, () => this.#tick());
    this.#tick();
  }

  /** While paused, no dump begins by itself. */
  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused && this.#stopTicking !== null) this.#tick();
  }

  list(): readonly ServedFeed[] {
    return this.#entries.map(({ folder }) => folder.feed);
  }

  onChange(listener: () => void): () => void {
    const entry = (): void => listener();
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  status(): SealedFolderStatus[] {
    return this.#entries.map((entry) => {
      const { config, folder, dumping, waiting } = entry;
      const row = folder.index.folder();
      const version = folder.index.lastVersion();
      const { packs, bytes } = folder.index.objects.usedTotals();
      return {
        config,
        state: dumping ? 'dumping' : waiting > 0 ? 'waiting' : 'idle',
        failure: row.failure === null ? null : (JSON.parse(row.failure) as { message: string; at: number }),
        stretch: this.#decide(entry).stretch,
        unreadable: folder.index.unreadable(),
        packs,
        bytes,
        sequence: row.sequence,
        lastStartedAt: row.last_started_at,
        lastVersionAt: version?.created_at ?? null,
      };
    });
  }

  spoolBytes(): number {
    return this.#bound.bytes();
  }

  /** What a restore point names of every folder that has a version. */
  newestVersions(): SealedPart[] {
    return this.#entries.flatMap(({ config, folder }): SealedPart[] => {
      const version = folder.index.lastVersion();
      if (version === null) return [];
      const { number, record_hash: record } = version;
      return [
        { id: config.id, kind: 'sealed', epoch: folder.index.epochName(version.epoch), number, record },
      ];
    });
  }

  /**
   * Makes a version of the folder, or of all one after the other, behind dumps that are under way. A restore point is made
   * of it behind that; with `pin`, a label to have it kept for ever, this resolves when it is made, and `point` is its ID.
   * @throws CodedError FOLDER_UNKNOWN, FOLDER_PAUSED, what the first of the dumps that failed throws
   */
  async dump(
    folderId: string | null,
    pin: string | null,
  ): Promise<{ versions: DumpResult[]; point: string | null }> {
    const chosen = this.#entries.filter(({ config }) => folderId === null || config.id === folderId);
    if (chosen.length === 0) {
      throw new CodedError(
        'FOLDER_UNKNOWN',
        folderId === null ? 'there is no sealed folder' : `there is no sealed folder "${folderId}"`,
        { hint: 'add one with "mastokeep-agent folder add ID --kind sealed …"' },
      );
    }
    if (this.#paused) {
      throw new CodedError('FOLDER_PAUSED', 'the agent is paused', {
        hint: 'end it with "mastokeep-agent resume"',
      });
    }
    return this.#enqueue(chosen, { cause: 'asked', pin });
  }

  /** How many of these receivers hold the version in `result`, durably. */
  copies(result: DumpResult, receivers: readonly string[]): number {
    const folder = this.#entries.find(({ config }) => config.id === result.folder)?.folder;
    if (folder === undefined) return 0;
    return receivers.filter((receiverId) => folder.holds(receiverId, result.sequence)).length;
  }

  /** Of each folder that has a version, one that tells whether a receiver holds its latest as of now, durably. */
  latestVersions(): ((receiverId: string) => boolean)[] {
    return this.#entries.flatMap(({ folder }) => {
      const version = folder.index.lastVersion();
      return version === null ? [] : [(receiverId) => folder.holds(receiverId, version.sequence)];
    });
  }

  /** Whether the folder is sealed, has a version, and the receiver does not hold the latest one, durably. */
  lacksVersion(folderId: string, receiverId: string): boolean {
    const folder = this.#entries.find(({ config }) => config.id === folderId)?.folder;
    const version = folder?.index.lastVersion() ?? null;
    return folder !== undefined && version !== null && !folder.holds(receiverId, version.sequence);
  }

  forgetReceiver(receiverId: string): void {
    for (const { folder } of this.#entries) folder.keeper.forget(receiverId);
  }

  /** Ends a dump that is under way; what it sealed is kept. */
  async stop(): Promise<void> {
    this.#stopTicking?.();
    this.#stopping.abort(new CodedError('SOURCE_FAILED', 'the dump was ended: the agent stops'));
    await this.#queue;
    for (const { folder } of this.#entries) folder.close();
    this.#database?.close();
    this.#database = null;
  }

  #tick(): void {
    const { now, connected } = this.#deps;
    if (now() - this.#lastSeenAt > seenEveryMs) {
      this.#lastSeenAt = now();
      for (const { folder } of this.#entries) {
        for (const receiverId of connected()) folder.keeper.seen(receiverId);
      }
    }
    if (this.#paused || this.#stopping.signal.aborted) return;
    const due = this.#entries.filter((entry) => this.#decide(entry).action === 'run');
    if (due.length === 0) return;
    // the failure is logged and noted where it happens
    this.#enqueue(due, { cause: 'dump', pin: null }).catch(() => {});
  }

  #decide({ schedule, folder, waiting, dumping }: Entry): ScheduleDecision {
    const row = folder.index.folder();
    const state = {
      running: waiting > 0 || dumping,
      lastStartedAtMs: row.last_started_at,
      lastDurationMs: row.last_duration_ms,
      knownSinceMs: row.known_since,
    };
    return decideSchedule(schedule, state, this.#deps.now());
  }

  /** One round of dumps behind those that are under way; one point comes of it. */
  async #enqueue(
    entries: readonly Entry[],
    asked: { cause: 'dump' | 'asked'; pin: string | null },
  ): Promise<{ versions: DumpResult[]; point: string | null }> {
    for (const entry of entries) entry.waiting += 1;
    const run = this.#queue.then(async () =>
      this.#deps.around(asked, async ({ onFirstOutput }) =>
        this.#runAll(entries, asked.cause === 'dump', onFirstOutput),
      ),
    );
    this.#queue = run.catch(() => {});
    const { result, point } = await run;
    return { versions: result, point: asked.pin === null ? null : ((await point)?.id ?? null) };
  }

  /** One after the other; rejects with the first failure when all had their turn. */
  async #runAll(
    entries: readonly Entry[],
    onlyIfNeeded: boolean,
    onFirstOutput: () => void,
  ): Promise<{ result: DumpResult[]; dumped: boolean }> {
    const versions: DumpResult[] = [];
    const failures: unknown[] = [];
    for (const entry of entries) {
      entry.waiting -= 1;
      entry.dumping = true;
      try {
        const version = await this.#run(entry, onlyIfNeeded, onFirstOutput);
        if (version !== null) versions.push(version);
      } catch (error) {
        failures.push(error);
      } finally {
        entry.dumping = false;
      }
    }
    if (failures.length > 0) throw failures[0];
    return { result: versions, dumped: versions.length > 0 };
  }

  async #run(entry: Entry, onlyIfNeeded: boolean, onFirstOutput: () => void): Promise<DumpResult | null> {
    const { config, folder } = entry;
    const { logger } = this.#deps;
    this.#stopping.signal.throwIfAborted();
    try {
      const { signal } = this.#stopping;
      const result = await (onlyIfNeeded
        ? folder.dumpIfNeeded(signal, onFirstOutput)
        : folder.dump(signal, onFirstOutput));
      if (result === null) return null;
      const { newBytes, plainBytes, sealedBytes, durationMs, number } = result;
      logger.info(
        { folder: config.id, version: number, plainBytes, newBytes, sealedBytes, durationMs },
        'made a version',
      );
      this.#tellStretch(entry, durationMs);
      return result;
    } catch (error) {
      const code = isCoded(error) ? error.code : 'INTERNAL';
      logger.error(
        { folder: config.id, code, reason: String(error) },
        'a dump failed: there is no version of it',
      );
      throw isCoded(error) ? ofFolder(config.id, error) : error;
    }
  }

  #tellStretch(entry: Entry, durationMs: number): void {
    const { stretch } = this.#decide(entry);
    if (stretch === 1) return;
    this.#deps.logger.warn(
      { folder: entry.config.id, stretch, durationMs },
      "the dump took longer than a third of its interval: only some of the schedule's moments are used",
    );
  }

  /** A database that cannot be used is set aside: everything is sealed once more. */
  #openDatabase(): Database.Database {
    try {
      return openSealDatabase(this.#databaseFile);
    } catch (error) {
      if (!isCoded(error, 'DATABASE_CORRUPT')) throw error;
      const aside = `${this.#databaseFile}.damaged`;
      this.#deps.logger.error(
        { aside },
        'seal.db is damaged and set aside: everything is sealed and sent once more',
      );
      for (const suffix of ['', '-wal', '-shm']) {
        if (fs.existsSync(this.#databaseFile + suffix))
          fs.renameSync(this.#databaseFile + suffix, aside + suffix);
      }
      return openSealDatabase(this.#databaseFile);
    }
  }
}

/** Who dumps all folders has to know which one it was. */
function ofFolder(id: string, error: CodedError): CodedError {
  const { code, message, hint, context } = error;
  return new CodedError(code, `folder ${id}: ${message}`, {
    ...(hint === null ? {} : { hint }),
    context,
    cause: error,
  });
}
