import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { CrashPoint } from '../../shared/io/crash-point.ts';
import { keptHistory } from '../support/kept-history.ts';
import { FeedFake, indexA, readTree, sha256, storeFixture } from '../support/store-fixture.ts';
import { removeDatabase } from '../support/store-harness.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

/**
 * The invariant: wherever an expiry by restore points is killed, the kept points are whole, no file is left that no row
 * names, what is gone is known to be, and the next expiry takes the rest.
 */
const crashes: [point: CrashPoint, count: number][] = [
  ['store.intent-written', 1],
  ['store.intent-synced', 1],
  ['store.expired', 1],
  ['store.expired', 4],
  ['store.commit-written', 1],
  ['store.commit-synced', 1],
  ['store.indexed', 1],
  // the gaps, after the versions
  ['store.commit-written', 2],
  ['store.indexed', 2],
];
const child = new URL('../support/expiry-crash-child.ts', import.meta.url).pathname;
const names = ['a', 'b', 'c/d', 'c/e', 'f'];
const begun = 1_800_000_000_000;
const later = begun + 3 * 86_400_000;
const retention = { kind: 'points', floorDays: 1 } as const;

type Part = { id: 'media'; kind: 'mirror'; index: string; from: number; to: number };

/** Three contents of each file, a point of each; and a gap before all of them. */
async function prepare(directory: string): Promise<[Part, Part, Part]> {
  let now = begun;
  const store = await storeFixture(directory, { now: () => (now += 1) }, { retention }).open();
  const feed = new FeedFake(() => store);
  const point = (): Part => {
    const { sequence } = feed;
    return { id: 'media', kind: 'mirror', index: indexA.toString('hex'), from: sequence, to: sequence };
  };
  const all = (content: string) => Object.fromEntries(names.map((name) => [name, `${content} ${name}`]));
  await feed.send({}, ['a']);
  await feed.send(all('one'));
  await feed.complete();
  const first = point();
  await feed.send(all('two'));
  const second = point();
  await feed.send(all('three'));
  const third = point();
  await store.close();
  return [first, second, third];
}

function contentsOf(store: MirrorStore, root: string, { from, to }: Part): Record<string, string> {
  const versions = readTree(`${root}/versions`);
  const current = readTree(`${root}/current`);
  const { entries } = store.contentBetween({ indexId: indexA, from, to }, null, 100);
  return Object.fromEntries(
    entries.map(({ path, state, replacedAt, begun }) => {
      const version = store.listVersions(path).find((one) => one.begun === begun);
      const bytes = replacedAt === null ? current.get(path) : versions.get(version?.name ?? '');
      if (state.kind === 'file') expect(sha256(bytes ?? Buffer.alloc(0)).equals(state.hash), path).toBe(true);
      return [path, bytes?.toString() ?? ''];
    }),
  );
}

const wanted = (content: string) => Object.fromEntries(names.map((name) => [name, `${content} ${name}`]));

it.each(crashes)(
  'keeps what points need, and takes the rest later, when it is killed at %s %i',
  async (...crash) => {
    const directory = memoryDirectory();
    const [first, second, third] = await prepare(directory);
    const args = [child, directory, String(later), JSON.stringify([first, third])];
    const env = { ...process.env, MASTOKEEP_CRASH_AT: crash.join(':') };
    const { stdout, stderr, signal } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
    expect([stdout, stderr, signal]).toEqual(['expiring\n', '', 'SIGKILL']);
    const fixture = storeFixture(directory, { now: () => later }, { retention });
    let store = await fixture.open();
    const expectWhole = (): void => {
      expect(contentsOf(store, fixture.root, first)).toEqual(wanted('one'));
      expect(contentsOf(store, fixture.root, third)).toEqual(wanted('three'));
      expect([first, third].map((part) => store.provePart(part).state)).toEqual(['complete', 'complete']);
      const rows = names.flatMap((name) =>
        store.listVersions(name as Parameters<MirrorStore['listVersions']>[0]),
      );
      const files = [...readTree(`${fixture.root}/versions`).keys()];
      expect(new Set(files)).toEqual(new Set(rows.map(({ name }) => name)));
      if (rows.length < 2 * names.length) expect(store.hasForgotten(second)).toBe(true);
    };
    expectWhole();
    await store.expire(later, keptHistory([first, third]));
    expectWhole();
    expect([store.usage().versions, store.gaps(null, 9)]).toEqual([names.length, []]);
    expect(fs.readdirSync(path.join(fixture.root, 'incoming'))).toEqual([]);
    await store.close();
    removeDatabase(fixture.databasePath);
    store = await fixture.open();
    expectWhole();
    expect([store.usage().versions, store.gaps(null, 9), store.hasForgotten(second)]).toEqual([
      names.length,
      [],
      true,
    ]);
    await store.close();
    fs.rmSync(directory, { recursive: true });
  },
);
