import path from 'node:path';
import type Database from 'better-sqlite3';
import { silentLogger } from '../../shared/io/logger.ts';
import { openIndexDatabase } from '../../agent/index/index-database.ts';
import { FeedReader } from '../../agent/index/feed-reader.ts';
import { ContentReader } from '../../agent/watch/content-reader.ts';
import type { CreateDirectoryWatcher, WatchEvent } from '../../agent/watch/directory-watcher.ts';
import { FolderIndexer } from '../../agent/watch/folder-indexer.ts';
import type { FolderCondition, IndexerOptions } from '../../agent/watch/indexer-options.ts';
import type { ScanReport } from '../../agent/watch/full-scan.ts';
import { indexerDefaults } from '../../agent/watch/indexer.ts';
import { FileClock } from './file-clock.ts';

/** A watcher that does as it is told and remembers it. */
class FakeWatcher {
  readonly watched = new Set<string>();
  /** Every watch that was asked for, in order. */
  readonly made: string[] = [];
  limit = Number.POSITIVE_INFINITY;
  listener: (event: WatchEvent) => void = () => {};

  readonly create: CreateDirectoryWatcher = (listener) => {
    this.listener = listener;
    return {
      update: (unwatch, watch) => {
        for (const directory of unwatch) this.watched.delete(directory);
        this.made.push(...watch);
        const refused: string[] = [];
        for (const directory of watch) {
          if (this.watched.size < this.limit) this.watched.add(directory);
          else refused.push(directory);
        }
        this.later.push(() => {
          if (refused.length > 0) listener({ type: 'refused', directories: refused, code: 'ENOSPC' });
          listener({
            type: 'watching',
            directories: watch.filter((directory) => this.watched.has(directory)),
          });
        });
      },
      close: () => Promise.resolve(),
    };
  };

  private readonly later: (() => void)[] = [];

  /** Delivers what a real watcher would tell in a later turn. */
  deliver(): boolean {
    const events = this.later.splice(0);
    for (const event of events) event();
    return events.length > 0;
  }
}

/**
 * One folder's indexer without threads and without waiting: time passes only when `pass` says so, and by the wall clock
 * every file is old unless `aged` is off; then it stands still. What changes behind a `run`, `pass` or `scan` gets later
 * times than what they have seen, as it does where minutes really pass.
 */
export class FolderBench {
  readonly database: Database.Database;
  readonly indexer: FolderIndexer;
  readonly feed: FeedReader;
  readonly watcher = new FakeWatcher();
  condition: FolderCondition;
  /** Slices that it has worked. */
  steps = 0;
  private readonly fileClock: FileClock;
  private youngAtMs: number | null = null;
  private nowMs = 1000;
  private checks = 0;

  constructor(
    home: string,
    root: string,
    options: Partial<IndexerOptions> & { ignore?: string[]; stepsPerSlice?: number } = {},
  ) {
    const { ignore, stepsPerSlice, ...rest } = options;
    this.fileClock = new FileClock(home);
    this.database = openIndexDatabase(path.join(home, 'index.db'));
    this.indexer = new FolderIndexer(
      {
        database: this.database,
        logger: silentLogger,
        reader: new ContentReader(),
        createWatcher: this.watcher.create,
        clock: {
          wallMs: () => this.youngAtMs ?? Date.now() + 60_000,
          monotonicMs: () => this.nowMs,
          setTimer: () => () => {},
        },
        sliceIsOver: () => ++this.checks > (stepsPerSlice ?? Number.POSITIVE_INFINITY),
        wake: () => {},
        onChange: () => {},
        onCondition: (condition) => {
          this.condition = condition;
        },
      },
      { id: 'media', root, ignore: ignore ?? [] },
      { ...indexerDefaults, ...rest },
    );
    this.condition = this.indexer.condition;
    this.feed = new FeedReader(this.database, 'media');
  }

  /** Whether files are old by the wall clock; off, what is written from now on is young for as long as it stays off. */
  set aged(aged: boolean) {
    this.youngAtMs = aged ? null : Date.now();
  }

  /** One slice. Gives whether there is more to do at once. */
  step(): boolean {
    this.checks = 0;
    this.steps += 1;
    return this.indexer.step();
  }

  /** Works until nothing is left to do at this moment. */
  run(): void {
    this.work();
    this.fileClock.awaitTick();
  }

  private work(): void {
    do {
      this.indexer.tick();
      while (this.step()) this.indexer.tick();
    } while (this.watcher.deliver());
    this.indexer.tick();
    while (this.step());
  }

  /** Lets time pass and does what is due. */
  pass(ms: number): void {
    this.nowMs += ms;
    this.run();
  }

  /** A full scan from here on, by the commands' own way; throws what the command would throw. */
  scan(): ScanReport {
    const outcome: { report?: ScanReport; error?: Error } = {};
    this.indexer.requestScan({
      resolve: (report) => {
        outcome.report = report;
      },
      reject: (error) => {
        outcome.error = error;
      },
    });
    this.work();
    for (
      let tries = 0;
      outcome.report === undefined && outcome.error === undefined && tries < 200;
      tries += 1
    ) {
      this.nowMs += 100;
      this.work();
    }
    if (outcome.error !== undefined) throw outcome.error;
    if (outcome.report === undefined) throw new Error('the scan did not end');
    this.fileClock.awaitTick();
    return outcome.report;
  }

  /** What a crash leaves: the database as committed. */
  close(): void {
    this.database.close();
    this.fileClock.close();
  }
}
