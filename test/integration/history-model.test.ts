import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { HeldPoint } from '../../receiver/points/point-book.ts';
import { HistoryWorld, worldRules } from '../support/history-world.ts';
import { IntervalHistory } from '../support/interval-history.ts';
import { sha256 } from '../support/store-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const dayMs = 86_400_000;
const paths = ['a', 'b', 'd/c'];
const contents = ['one', 'two', 'three'];

type Change = [path: string, content: string | null];
const damages = ['current', 'versions', 'packs', 'database', 'journal', 'point'] as const;
type Command =
  | { do: 'change'; change: Change }
  | { do: 'send'; gone: string[]; diesAfter: number | null }
  | { do: 'renew' }
  /** `during`: what changes while the dump runs, and (`sends`) is sent before it ends; `back`: a begin of before. */
  | { do: 'dump'; during: Change[]; sends: boolean; losing: boolean; diesAfter: number | null }
  | { do: 'point'; back: number; during: Change[]; diesAfter: number | null }
  | { do: 'pin' | 'restore'; which: number }
  | { do: 'expire'; days: number; diesAfter: number | null }
  | { do: 'restart'; losingDatabase: boolean }
  | { do: 'corrupt'; what: (typeof damages)[number]; which: number };

const diesAfter = fc.option(fc.nat(50), { freq: 3 });
const which = fc.nat(99);
const change = fc.tuple(fc.constantFrom(...paths), fc.option(fc.constantFrom(...contents), { freq: 3 }));
const during = fc.array(change, { maxLength: 3 });
const always = <Name extends string>(name: Name) => fc.constant(name);
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: always('change'), change }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: always('send'), gone: fc.subarray(paths, { maxLength: 1 }), diesAfter }),
  },
  { weight: 1, arbitrary: fc.record({ do: always('renew') }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: always('dump'),
      during,
      sends: fc.boolean(),
      losing: fc.nat(5).map((n) => n === 0),
      diesAfter,
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: always('point'), back: fc.nat(3), during, diesAfter }) },
  { weight: 1, arbitrary: fc.record({ do: always('pin'), which }) },
  { weight: 4, arbitrary: fc.record({ do: always('restore'), which }) },
  { weight: 5, arbitrary: fc.record({ do: always('expire'), days: fc.nat(5), diesAfter }) },
  { weight: 1, arbitrary: fc.record({ do: always('restart'), losingDatabase: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: always('corrupt'), what: fc.constantFrom(...damages), which }) },
);

/** What happened in all runs; a test that never came to it proves nothing. */
const seen = { steps: 0, deaths: 0, expired: 0, complete: 0, lacking: 0, damaged: 0, unread: 0 };

/** What must be kept of what happened, in the simplest form. */
class HistoryModel {
  readonly world: HistoryWorld;
  /** Contents of which a file was damaged; there may be no good copy. */
  readonly #damaged = new Set<string>();
  /** Lines of the mirror folder's journal were damaged: what was then may not be provable. */
  #journalDamaged = false;

  constructor(world: HistoryWorld) {
    this.world = world;
  }

  async perform(one: Command): Promise<void> {
    const { world } = this;
    seen.steps += 1;
    switch (one.do) {
      case 'change':
        world.history.change(...one.change);
        return;
      case 'renew':
        world.history.renew(true);
        return;
      case 'send':
        await this.#survives(one.diesAfter, async () => world.send(one.gone));
        return;
      case 'dump':
      case 'point':
        await this.#survives(one.diesAfter, async () => this.#makePoint(one));
        return;
      case 'pin':
        await this.#pin(one.which);
        return;
      case 'restore':
        await this.#restore(this.#pick(one.which));
        return;
      case 'expire':
        world.now += one.days * dayMs;
        await this.#expire(one.diesAfter);
        return;
      case 'restart':
        await world.restart(one);
        return;
      case 'corrupt':
        await this.#corrupt(one);
    }
  }

  async restoreAll(): Promise<void> {
    for (const point of this.world.book.list()) await this.#restore(point);
  }

  /** Every file below `versions/` is a version's, and every version has its file, also after deaths in an expiry. */
  expectNoOrphans(): void {
    const { mirror, mirrorRoot } = this.world;
    const everything = { from: -1n, to: 2n ** 62n };
    const named = mirror
      .versionsEndedIn(everything, null, 1000)
      .flatMap(({ name }) => (name === null ? [] : [name]));
    const files = fs
      .readdirSync(`${mirrorRoot}/versions`, { recursive: true, encoding: 'utf8' })
      .filter((name) => fs.statSync(`${mirrorRoot}/versions/${name}`).isFile());
    expect(files.sort()).toEqual(named.sort());
  }

  async #survives(calls: number | null, action: () => Promise<void>): Promise<boolean> {
    const survived = await this.world.survives(calls, action);
    if (!survived) seen.deaths += 1;
    return survived;
  }

  #pick(at: number): HeldPoint | null {
    const points = this.world.book.list();
    return points[at % Math.max(1, points.length)] ?? null;
  }

  async #makePoint(one: Command & { do: 'dump' | 'point' }): Promise<void> {
    const { history } = this.world;
    const from = Math.max(0, history.sequence - (one.do === 'point' ? one.back : 0));
    for (const change of one.during) history.change(...change);
    if (one.do === 'dump') {
      if (one.sends) await this.world.send([]);
      await this.world.dump(one.losing);
    }
    await this.world.send([]);
    const { held, code } = await this.world.point(from);
    expect(held || code === 'POINTS_LIMITED' || code === 'POINT_TOO_LATE', code ?? '').toBe(true);
  }

  async #pin(which: number): Promise<void> {
    const point = this.#pick(which);
    if (point?.pin === null) await this.world.book.pin(point.id, 'kept');
    else if (point !== null) await this.world.book.unpin(point.id);
  }

  /** Pinned ones, what is young, and the newest complete ones stay; of the others, nothing. */
  async #expire(calls: number | null): Promise<void> {
    const { world } = this;
    const before = world.book.list();
    const complete = before.filter((point) => world.prove(point).complete);
    const newest = new Set(complete.slice(Math.max(0, complete.length - worldRules.newestComplete)));
    const stays = before.filter(
      (point) =>
        point.pin !== null ||
        point.receivedAt > world.now - worldRules.floorDays * dayMs ||
        newest.has(point),
    );
    const ids = (points: readonly HeldPoint[]): string[] => points.map(({ id }) => id);
    const survived = await this.#survives(calls, async () => world.expire());
    const after = ids(world.book.list());
    if (survived || after.length < before.length) expect(after).toEqual(ids(stays));
    else expect(after).toEqual(ids(before));
    seen.expired += before.length - after.length;
    for (const point of world.book.list()) await this.#restore(point);
  }

  async #corrupt({ what, which }: Command & { do: 'corrupt' }): Promise<void> {
    const { world } = this;
    switch (what) {
      case 'current':
      case 'versions':
        this.#flip(path.join(world.mirrorRoot, what), which);
        return;
      case 'packs':
        this.#flip(path.join(world.sealedRoot, what), which);
        return;
      case 'database':
        await world.restart({ between: () => world.spoilDatabases() });
        return;
      case 'journal':
        await world.restart({ losingDatabase: which % 2 === 0, between: () => this.#flipJournal(which) });
        this.#journalDamaged = true;
        return;
      case 'point': {
        const point = this.#pick(which);
        if (point === null) return;
        await world.restart({ between: () => flipByte(world.pointFile(point), which) });
        expect(world.book.damaged).toContain(point.id);
        expect(world.book.list().map(({ id }) => id)).not.toContain(point.id);
      }
    }
  }

  #flip(directory: string, which: number): void {
    const files = fs
      .readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .map((name) => path.join(directory, name))
      .filter((file) => fs.statSync(file).isFile());
    const file = files[which % Math.max(1, files.length)];
    if (file === undefined) return;
    this.#damaged.add(sha256(fs.readFileSync(file)).toString('hex'));
    flipByte(file, which);
    seen.damaged += 1;
  }

  #flipJournal(which: number): void {
    const journal = path.join(this.world.mirrorRoot, 'journal');
    const segment = fs
      .readdirSync(journal)
      .filter((name) => name.endsWith('.journal'))
      .sort()
      .at(-1);
    flipByte(path.join(journal, segment ?? ''), which * 97);
    seen.damaged += 1;
  }

  /** Whatever is said to be complete is, byte for byte; what is not is named; and what came is complete. */
  async #restore(point: HeldPoint | null): Promise<void> {
    if (point === null) return;
    const { parts } = this.world.prove(point);
    for (const { part, proof } of parts) {
      if (part.kind === 'mirror') await this.#restoreFiles(point.id, part, proof.state);
      else await this.#restoreVersion(part.number, proof.state);
    }
  }

  async #restoreFiles(
    id: string,
    { index, from, to }: { index: string; from: number; to: number },
    state: 'complete' | 'incomplete' | 'unknown',
  ): Promise<void> {
    const { mirror, history } = this.world;
    const told = history.indexes.find((one) => one.id.toString('hex') === index);
    // a store that nothing was ever sent to knows of no index
    if (state === 'unknown') expect(this.#journalDamaged || to === 0, `${id} is not proved`).toBe(true);
    if (state === 'unknown' || told === undefined) return;
    const interval = { indexId: told.id, from, to };
    const lacking = mirror.lackingBetween(interval, null, 100) as string[];
    expect(lacking.length > 0).toBe(state === 'incomplete');
    const { entries } = mirror.contentBetween(interval, null, 100);
    const held = new Map(entries.map((entry) => [entry.path as string, entry.state]));
    const part = { id: 'media', kind: 'mirror', index, from, to } as const;
    await mirror.countBytes([part]);
    const bytes = entries.reduce(
      (sum, entry) => sum + (entry.state.kind === 'file' ? entry.state.size : 0),
      0,
    );
    if (!this.#journalDamaged) expect(mirror.provePart(part).bytes, id).toBe(bytes);
    for (const path of paths) {
      const events = told.events.get(path) ?? [];
      const content = IntervalHistory.contentOf(events, from, to);
      const story = `${path} of ${id} ${index} ${from}..${to}`;
      if (lacking.includes(path)) {
        if (!this.#journalDamaged)
          expect(
            events.some(({ delivered }) => !delivered),
            story,
          ).toBe(true);
        seen.lacking += 1;
        continue;
      }
      const found = held.get(path);
      const hash = content === null ? undefined : sha256(content);
      expect(found?.kind === 'file' ? found.hash.toString('hex') : undefined, story).toBe(
        hash?.toString('hex'),
      );
      if (hash !== undefined && content !== null) await this.#expectBytes(hash, Buffer.from(content), story);
    }
    if (state === 'complete') seen.complete += 1;
  }

  async #restoreVersion(number: number, state: 'complete' | 'incomplete' | 'unknown'): Promise<void> {
    const version = this.world.versions[number - 1];
    if (version?.isWhole === true) expect(state, `version ${number}`).toBe('complete');
    if (state !== 'complete') return;
    for (const { content } of version?.objects ?? [])
      await this.#expectBytes(sha256(content), content, `version ${number}`);
  }

  /** The very bytes, or nothing where a copy was damaged; never others. */
  async #expectBytes(hash: Buffer, wanted: Buffer, story: string): Promise<void> {
    const bytes = await this.world.read(hash);
    if (bytes === null) {
      expect(this.#damaged.has(hash.toString('hex')), `${story} cannot be read`).toBe(true);
      seen.unread += 1;
    } else expect(bytes.equals(wanted), story).toBe(true);
  }
}

function flipByte(file: string, which: number): void {
  const bytes = fs.readFileSync(file);
  const at = which % Math.max(1, bytes.length);
  if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ 0x20;
  fs.writeFileSync(file, bytes);
}

const seed = process.env['MASTOKEEP_SEED'];

it('brings back of every restore point what it says that it has, whatever comes, goes, dies and rots', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 40, maxLength: 90, size: 'max' }), async (commands) => {
      const directory = memoryDirectory();
      const world = new HistoryWorld(directory);
      const model = new HistoryModel(world);
      await world.open();
      try {
        for (const one of commands) await model.perform(one);
        await model.restoreAll();
        model.expectNoOrphans();
      } finally {
        await world.close();
        fs.rmSync(directory, { recursive: true });
      }
    }),
    { numRuns: 40, endOnFailure: true, ...(seed === undefined ? {} : { seed: Number(seed) }) },
  );
  expect(seen.steps).toBeGreaterThan(1600);
  for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(0);
});
