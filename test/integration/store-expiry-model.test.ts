import fs from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { keptHistory } from '../support/kept-history.ts';
import { sendHistory } from '../support/send-history.ts';
import { IntervalHistory, type HistoryIndex } from '../support/interval-history.ts';
import { storeFixture } from '../support/store-fixture.ts';
import { removeDatabase } from '../support/store-harness.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const dayMs = 86_400_000;
const floorDays = 3;
const paths = ['a', 'b', 'd/c'];

type Command =
  | { do: 'change'; path: string; content: string | null }
  | { do: 'send'; gone: string[] }
  | { do: 'renew' }
  | { do: 'point'; back: number }
  | { do: 'drop'; which: number }
  | { do: 'wait'; days: number }
  | { do: 'expire' }
  | { do: 'restart'; losingDatabase: boolean };

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('change' as const),
      path: fc.constantFrom(...paths),
      content: fc.option(fc.constantFrom('one', 'two', 'three'), { freq: 3 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('send' as const), gone: fc.subarray(paths, { maxLength: 1 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'renew' as const }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('point' as const), back: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('drop' as const), which: fc.nat(9) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('wait' as const), days: fc.integer({ min: 1, max: 5 }) }),
  },
  { weight: 4, arbitrary: fc.constant({ do: 'expire' as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), losingDatabase: fc.boolean() }) },
);

type Point = { id: 'media'; kind: 'mirror'; index: string; from: number; to: number };

/** Two receivers of the same agent: one lets versions go, the other keeps all. */
class Twins {
  readonly history = new IntervalHistory();
  readonly expiring;
  readonly keeping;
  readonly stores: MirrorStore[] = [];
  points: Point[] = [];
  readonly #begun = new Map<HistoryIndex, number>();
  now = 1_800_000_000_000;

  constructor(directory: string) {
    const options = { retention: { kind: 'points', floorDays } } as const;
    const now = (): number => (this.now += 1);
    this.expiring = storeFixture(`${directory}/expiring`, { now }, options);
    this.keeping = storeFixture(`${directory}/keeping`, { now }, options);
    for (const twin of ['expiring', 'keeping']) fs.mkdirSync(`${directory}/${twin}`);
  }

  get expired(): MirrorStore {
    const [store] = this.stores;
    if (store === undefined) throw new Error('nothing is open');
    return store;
  }

  async open(): Promise<void> {
    this.stores.push(await this.expiring.open(), await this.keeping.open());
  }

  async close(): Promise<void> {
    for (const store of this.stores.splice(0)) await store.close();
  }

  async perform(one: Command): Promise<number> {
    const { history } = this;
    if (one.do === 'change') history.change(one.path, one.content);
    else if (one.do === 'wait') this.now += one.days * dayMs;
    else if (one.do === 'renew') history.renew(true);
    else if (one.do === 'send') await this.send(one.gone);
    else if (one.do === 'drop') this.points = this.points.filter((_, at) => at !== one.which % 10);
    else if (one.do === 'restart') await this.restart(one.losingDatabase);
    else if (one.do === 'point') await this.makePoint(one.back);
    else return await this.expire();
    return 0;
  }

  async send(gone: string[]): Promise<void> {
    await sendHistory(this.stores, this.history, { limit: 99, gone });
    for (const store of this.stores) {
      const position = store.position();
      if (position !== null && this.history.isCaughtUp) await store.completeIndex(position);
    }
  }

  /** As an agent does it: everything up to its end is announced before the point is, and none begins before an earlier one. */
  async makePoint(back: number): Promise<void> {
    await this.send([]);
    const { index, sequence } = this.history;
    const from = Math.max(0, sequence - back, this.#begun.get(index) ?? 0);
    this.#begun.set(index, from);
    const part = {
      id: 'media',
      kind: 'mirror',
      index: index.id.toString('hex'),
      from,
      to: sequence,
    } as const;
    if (this.expired.hasForgotten(part)) this.expectForgotten(part);
    else this.points.push(part);
  }

  /** A point that comes too late: something ended behind its begin that only the other one has. */
  expectForgotten({ index, from }: Point): void {
    const begin = this.expired.momentAt(Buffer.from(index, 'hex'), from) ?? 0n;
    const later = { from: begin, to: 2n ** 62n };
    const ends = this.stores.map((store) => [
      ...store.versionsEndedIn(later, null, 1000),
      ...store.gaps(null, 1000).filter(({ ended }) => ended !== null && ended > begin),
    ]);
    expect(ends[0]?.length).toBeLessThan(ends[1]?.length ?? 0);
  }

  async restart(losingDatabase: boolean): Promise<void> {
    await this.close();
    if (losingDatabase) removeDatabase(this.expiring.databasePath);
    await this.open();
  }

  /** How many versions went. */
  async expire(): Promise<number> {
    const kept = keptHistory(this.points);
    const { versions } = await this.expired.expire(this.now, kept);
    this.expectNothingSuperfluous();
    this.expectTheYoungThere();
    expect(await this.expired.expire(this.now, kept)).toEqual({ versions: 0, bytes: 0 });
    return versions;
  }

  /** Of every kept point both hold the same, and say the same of it. */
  expectPointsWhole(): void {
    for (const { index, from, to } of this.points) {
      const interval = { indexId: Buffer.from(index, 'hex'), from, to };
      const [expired, kept] = this.stores.map((store) => ({
        evidence: store.evidence(interval),
        content: store
          .contentBetween(interval, null, 100)
          .entries.map(({ path, state, begun }) => ({ path, state, begun })),
      }));
      expect(expired, `${index} ${from}..${to}`).toEqual(kept);
    }
  }

  /** What was replaced or deleted within the floor is there. */
  expectTheYoungThere(): void {
    const [expired, kept] = this.stores.map((store) =>
      store.versionsEndedIn({ from: -1n, to: 2n ** 62n }, null, 1000),
    );
    const there = new Set(expired?.map(({ path, begun, ended }) => `${path} ${begun} ${ended}`));
    const young = kept?.filter(({ replacedAt }) => replacedAt > this.now - floorDays * dayMs + 1000) ?? [];
    expect(young.filter(({ path, begun, ended }) => !there.has(`${path} ${begun} ${ended}`))).toEqual([]);
  }

  /** What is neither new nor needed by a point is gone, with its bytes. */
  expectNothingSuperfluous(): void {
    const needed = new Set(
      this.points.flatMap(({ index, from, to }) =>
        this.expired
          .contentBetween({ indexId: Buffer.from(index, 'hex'), from, to }, null, 100)
          .entries.map(({ path, begun }) => `${path} ${begun}`),
      ),
    );
    const everything = { from: -1n, to: 2n ** 62n };
    const versions = this.expired.versionsEndedIn(everything, null, 1000);
    const superfluous = versions.filter(
      ({ path, begun, replacedAt }) =>
        replacedAt <= this.now - floorDays * dayMs && !needed.has(`${path} ${begun}`),
    );
    expect(superfluous).toEqual([]);
    const named = versions.flatMap(({ name }) => (name === null ? [] : [name]));
    const files = fs
      .readdirSync(`${this.expiring.root}/versions`, { recursive: true, encoding: 'utf8' })
      .filter((name) => !fs.statSync(`${this.expiring.root}/versions/${name}`).isDirectory());
    expect(files.sort()).toEqual(named.sort());
  }
}

it('takes nothing from a kept point, and leaves nothing that is old and that no kept point needs', async () => {
  let gone = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 50, maxLength: 120, size: 'max' }), async (commands) => {
      const directory = memoryDirectory();
      const twins = new Twins(directory);
      await twins.open();
      try {
        for (const one of commands) {
          gone += await twins.perform(one);
          if (one.do === 'expire' || one.do === 'restart') twins.expectPointsWhole();
        }
        twins.expectPointsWhole();
      } finally {
        await twins.close();
        fs.rmSync(directory, { recursive: true });
      }
    }),
    {
      numRuns: 60,
      endOnFailure: true,
      ...(process.env['MASTOKEEP_SEED'] === undefined ? {} : { seed: Number(process.env['MASTOKEEP_SEED']) }),
    },
  );
  // Whether anything expired at all: a run has some 90.
  expect(gone).toBeGreaterThan(10);
});
