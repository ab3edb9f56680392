import fs from 'node:fs';
import fc from 'fast-check';
import Database from 'better-sqlite3';
import { expect, it } from 'vitest';
import type { ScrubPosition } from '../../receiver/scrub/scrub-position.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { scrubPass, subjectOf } from '../support/scrub-store.ts';
import { nothingKept } from '../support/kept-history.ts';
import { FeedFake, readTree, sha256, storeFixture } from '../support/store-fixture.ts';
import { expectRebuildToMatch, removeDatabase } from '../support/store-harness.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const dayMs = 86_400_000;
const paths = ['a', 'b', 'd/a', 'd/e/f'];
const contents = ['one', 'two', 'three three three'];

type Batch = Record<string, string | null>;
type Command =
  | { do: 'send'; batch: Batch }
  | { do: 'expire'; days: number }
  | { do: 'flip' | 'cut' | 'remove' | 'obstruct'; which: number }
  | { do: 'stranger'; place: string }
  | { do: 'journal'; how: 'flip' | 'cut'; which: number }
  | { do: 'database' }
  | { do: 'step' }
  | { do: 'repair' }
  | { do: 'restart'; losingDatabase: boolean };

const batch = fc.dictionary(fc.constantFrom(...paths), fc.option(fc.constantFrom(...contents), { freq: 4 }), {
  minKeys: 1,
  maxKeys: 3,
});
const which = fc.nat(30);
const life: fc.WeightedArbitrary<Command>[] = [
  { weight: 8, arbitrary: fc.record({ do: fc.constant('send' as const), batch }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('expire' as const), days: fc.integer({ min: 0, max: 20 }) }),
  },
  { weight: 8, arbitrary: fc.constant({ do: 'step' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'repair' as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), losingDatabase: fc.boolean() }) },
];
const harm: fc.WeightedArbitrary<Command>[] = [
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('flip', 'cut', 'remove', 'obstruct'), which }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('stranger' as const),
      place: fc.constantFrom('current/x', 'current/d/x', 'versions/x~20200101-000000', 'versions/e/x'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('journal' as const), how: fc.constantFrom('flip', 'cut'), which }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'database' as const }) },
];

/** A store, its agent, and the harm that was done to it. */
class Bench {
  readonly directory = memoryDirectory();
  readonly #fixture;
  store: MirrorStore | null = null;
  readonly #feed = new FeedFake(() => this.open);
  /** What the agent has now. */
  readonly #alive = new Map<string, string>();
  readonly strangers = new Set<string>();
  #now = 1_800_000_000_000;
  #at: ScrubPosition | null = null;
  found = 0;

  constructor() {
    const options = {
      retention: { kind: 'points' as const, floorDays: 3 },
      journalSegmentBytesMax: 4000,
      scrubLimits: { longFile: 10, page: 5 },
    };
    this.#fixture = storeFixture(this.directory, { now: () => this.#now }, options);
  }

  get open(): MirrorStore {
    if (this.store === null) throw new Error('the store is closed');
    return this.store;
  }

  async begin(): Promise<void> {
    this.store = await this.#fixture.open();
  }

  async do(command: Command): Promise<void> {
    this.#now += 1000;
    switch (command.do) {
      case 'send':
        await this.#feed.send(command.batch);
        for (const [path, content] of Object.entries(command.batch)) {
          if (content === null) this.#alive.delete(path);
          else this.#alive.set(path, content);
        }
        return;
      case 'expire':
        this.#now += command.days * dayMs;
        await this.open.expire(this.#now, nothingKept);
        return;
      case 'restart':
        await this.open.close();
        if (command.losingDatabase) removeDatabase(this.#fixture.databasePath);
        this.store = await this.#fixture.open();
        return;
      case 'stranger':
        this.#addStranger(command.place);
        return;
      case 'journal':
        this.#harmJournal(command);
        await this.scrubAll(false);
        return;
      case 'database':
        if (this.#harmDatabase()) await this.scrubAll(false);
        return;
      case 'step':
        await this.step(false);
        return;
      case 'repair':
        await subjectOf(this.open).repair(async () => {});
        return;
      case 'flip':
      case 'cut':
      case 'remove':
      case 'obstruct':
        this.#harmFile(command.do, command.which);
    }
  }

  /** The next step of a pass that never ends. */
  async step(asks: boolean): Promise<void> {
    const subject = subjectOf(this.open, this.#options(asks));
    const { next, found } = await subject.read(this.#at, async () => {});
    this.found += found.length;
    this.#at = next;
  }

  /** With an agent that gives what it has. */
  async repair(): Promise<void> {
    await subjectOf(this.open, this.#options(true)).repair(async () => {});
  }

  async scrubAll(asks: boolean) {
    return scrubPass(() => this.open, this.#options(asks));
  }

  #options(asks: boolean) {
    return {
      fetchAgain: async (records: readonly FileRecord[]) => asks && this.#give(records),
      rebuild: async () => this.do({ do: 'restart', losingDatabase: true }),
    };
  }

  /** What is on the disk as it should be, what the store says is damaged, and what is neither. */
  unnoticed(): string[] {
    const { store, root } = { store: this.open, root: this.#fixture.root };
    const marked = new Set(store.scrub.damaged(null, 1000).map(({ path, id }) => `${path} ${id}`));
    const wrong: string[] = [];
    const look = (place: string, hash: Buffer, key: string): void => {
      const isWhole =
        fs.existsSync(place) && fs.statSync(place).isFile() && sha256(fs.readFileSync(place)).equals(hash);
      if (isWhole === marked.has(key)) wrong.push(`${key}: ${isWhole ? 'falsely marked' : 'not noticed'}`);
    };
    const { entries } = store.entriesAt({ at: null, after: null, limit: 1000 });
    for (const { path, state } of entries)
      if (state.kind === 'file') look(`${root}/current/${path}`, state.hash, `${path} null`);
    for (const path of paths)
      for (const { id, name, state } of store.listVersions(path as RelativePath))
        if (state.kind === 'file' && name !== null)
          look(`${root}/versions/${name}`, state.hash, `${path} ${id}`);
    return wrong;
  }

  /** Intervals of which the store says other paths as damaged than those whose content in it is. */
  async misjudged(): Promise<string[]> {
    if (this.#feed.sequence === 0) return [];
    await this.#feed.complete();
    const { open: store } = this;
    const marks = store.scrub.damaged(null, 1000);
    const begins = new Set(
      marks.map(({ path, id }) => {
        const version = store.listVersions(path).find((one) => one.id === id);
        return `${path} ${version?.begun ?? this.#begunOf(path)}`;
      }),
    );
    const { sequence, indexId } = this.#feed;
    const wrong: string[] = [];
    for (let from = 0; from <= sequence; from += 1) {
      const to = Math.min(sequence, from + (from % 3));
      const { entries } = store.contentBetween({ indexId, from, to }, null, 1000);
      const damaged = entries
        .filter(({ path, begun }) => begins.has(`${path} ${begun}`))
        .map(({ path }) => path);
      const part = { id: 'media', kind: 'mirror' as const, index: indexId.toString('hex'), from, to };
      const proof = store.provePart(part);
      const said = proof.state === 'incomplete' ? proof.paths : [];
      if (proof.state !== 'unknown' && said.join(' ') !== damaged.join(' '))
        wrong.push(`${from} to ${to}: ${said.join(' ')} instead of ${damaged.join(' ')}`);
    }
    return wrong;
  }

  #begunOf(path: RelativePath): bigint | undefined {
    const { entries } = this.open.entriesAt({ at: null, after: null, limit: 1000 });
    return entries.find((entry) => entry.path === path)?.begun;
  }

  damagedLive(): number {
    return this.open.scrub.damaged(null, 1000).filter(({ id }) => id === null).length;
  }

  async end(): Promise<void> {
    await this.open.close();
    this.store = null;
    const tables = ['live ORDER BY path', 'versions ORDER BY id', 'damaged ORDER BY path, id'];
    await expectRebuildToMatch(this.#fixture, tables);
    fs.rmSync(this.directory, { recursive: true });
  }

  #give(records: readonly FileRecord[]): boolean {
    let came = false;
    for (const { path, state } of records) {
      const content = this.#alive.get(path);
      if (content === undefined || state.kind !== 'file' || !sha256(content).equals(state.hash)) continue;
      this.open.stage(state.hash, Buffer.from(content));
      came = true;
    }
    return came;
  }

  #files(): string[] {
    const { root } = this.#fixture;
    return ['current', 'versions'].flatMap((top) =>
      [...readTree(`${root}/${top}`).keys()].map((name) => `${root}/${top}/${name}`),
    );
  }

  #harmFile(how: 'flip' | 'cut' | 'remove' | 'obstruct', which: number): void {
    const files = this.#files().filter(
      (file) => !this.strangers.has(file.slice(this.#fixture.root.length + 1)),
    );
    const file = files[which % Math.max(1, files.length)];
    if (file === undefined || !fs.lstatSync(file).isFile()) return;
    if (how === 'flip') {
      const bytes = fs.readFileSync(file);
      bytes[which % bytes.length] = (bytes[which % bytes.length] ?? 0) ^ (1 << (which % 8));
      fs.writeFileSync(file, bytes);
    } else if (how === 'cut') fs.truncateSync(file, fs.statSync(file).size >> 1);
    else {
      fs.rmSync(file);
      if (how === 'obstruct') fs.symlinkSync('nowhere', file);
    }
  }

  #addStranger(place: string): void {
    const file = `${this.#fixture.root}/${place}`;
    const above = file.slice(0, file.lastIndexOf('/'));
    if (fs.existsSync(above) && !fs.statSync(above).isDirectory()) return;
    fs.mkdirSync(above, { recursive: true });
    fs.writeFileSync(file, 'mine');
    this.strangers.add(place);
  }

  #harmJournal({ how, which }: { how: 'flip' | 'cut'; which: number }): void {
    const journal = `${this.#fixture.root}/journal`;
    const segments = fs.readdirSync(journal).filter((name) => name.endsWith('.journal'));
    const file = `${journal}/${segments[which % segments.length]}`;
    const { size } = fs.statSync(file);
    if (how === 'cut') fs.truncateSync(file, Math.floor((size * (which % 10)) / 10));
    else {
      const bytes = fs.readFileSync(file);
      bytes[(which * 97) % size] = (bytes[(which * 97) % size] ?? 0) ^ 4;
      fs.writeFileSync(file, bytes);
    }
  }

  #harmDatabase(): boolean {
    const other = new Database(this.#fixture.databasePath);
    const { changes } = other.prepare('UPDATE live SET hash = zeroblob(32) WHERE kind = 0').run();
    other.close();
    return changes > 0;
  }
}

const runs = Number(process.env['MASTOKEEP_RUNS'] ?? 25);

it('finds whatever was harmed in the next whole pass, whenever it was, and repairs what the agent has', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(...life, ...harm), { minLength: 5, maxLength: 40 }),
      async (commands) => {
        const bench = new Bench();
        await bench.begin();
        for (const command of commands) await bench.do(command);
        const { extras } = await bench.scrubAll(false);
        expect(bench.unnoticed()).toEqual([]);
        expect(await bench.misjudged()).toEqual([]);
        for (const place of bench.strangers)
          if (fs.existsSync(`${bench.directory}/data/agent/media/${place}`)) expect(extras).toContain(place);
        await bench.scrubAll(true);
        await bench.repair();
        expect(bench.unnoticed()).toEqual([]);
        expect(bench.damagedLive()).toBe(0);
        await bench.end();
      },
    ),
    { numRuns: runs },
  );
});

it('never says anything of a store that is whole, whatever comes and goes while it reads', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(...life), { minLength: 5, maxLength: 40 }),
      fc.array(batch, { maxLength: 10 }),
      async (commands, meanwhile) => {
        const bench = new Bench();
        await bench.begin();
        for (const command of commands) await bench.do(command);
        expect(bench.found).toBe(0);
        const pending: Promise<void>[] = [];
        const batches = meanwhile.values();
        const result = await scrubPass(() => bench.open, {
          pace: async () => {
            const next = batches.next();
            if (next.done !== true) pending.push(bench.do({ do: 'send', batch: next.value }));
          },
        });
        await Promise.all(pending);
        expect(result).toMatchObject({ found: 0, extras: [], books: [] });
        expect(bench.unnoticed()).toEqual([]);
        await bench.end();
      },
    ),
    { numRuns: runs },
  );
});
