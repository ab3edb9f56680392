import { expect, it } from 'vitest';
import { keptIntervals, expiringVersionIds } from '../../receiver/store/version-sweep.ts';
import { MirrorIndex } from '../../receiver/store/mirror-index.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import { keptHistory } from '../support/kept-history.ts';
import { FeedFake, indexA, storeFixture } from '../support/store-fixture.ts';

const keptFiles = 500;

it('looks at what ended in and behind the points that are gone, and at what came of age, not at what is kept', async () => {
  let now = 1_800_000_000_000;
  const { open, databasePath } = storeFixture(
    undefined,
    { now: () => (now += 1) },
    { retention: { kind: 'points', floorDays: 1 } },
  );
  const store = await open();
  const feed = new FeedFake(() => store);
  const all = (content: string): Record<string, string> =>
    Object.fromEntries(Array.from({ length: keptFiles }, (_, at) => [`kept-${at}`, `${content} ${at}`]));
  const part = () => {
    const { sequence } = feed;
    return {
      id: 'media',
      kind: 'mirror' as const,
      index: indexA.toString('hex'),
      from: sequence,
      to: sequence,
    };
  };
  await feed.send(all('first'));
  await feed.complete();
  const first = part();
  await feed.send(all('second'));
  const second = part();
  await feed.send({ busy: 'one' });
  const goes = part();
  await feed.send({ busy: 'two' });
  const last = part();
  now += 2 * 86_400_000;
  expect(await store.expire(now, keptHistory([first, second, goes, last]))).toMatchObject({ versions: 0 });
  await feed.send({ busy: 'three' });
  await store.close();

  const index = new MirrorIndex(openDatabase(databasePath));
  let looked = 0;
  const succeededAt = index.intervals.succeededAt.bind(index.intervals);
  index.intervals.succeededAt = (...asked) => {
    looked += 1;
    return succeededAt(...asked);
  };
  const sweep = (parts: ReturnType<typeof part>[], nowMs: number): number[] => {
    looked = 0;
    const { longestMs } = keptHistory(parts);
    const kept = keptIntervals(index.intervals, parts);
    const rules = { floorDays: 1, longestMs };
    const ids = new Set<number>();
    for (const page of expiringVersionIds({ index, nowMs, rules, kept: () => kept }))
      for (const id of page) ids.add(id);
    return [...ids];
  };
  try {
    expect([sweep([first, second, last], now), looked]).toEqual([[expect.any(Number)], 1]);
    expect([sweep([first, second, goes, last], now), looked]).toEqual([[], 0]);
    expect([sweep([first, second, goes], now + 2 * 86_400_000).length, looked]).toEqual([1, 2]);
    expect([sweep([second, last], now).length, looked]).toEqual([keptFiles + 1, keptFiles + 1]);
    index.sweep.forget();
    expect([sweep([first, second, last], now).length, looked]).toEqual([1, keptFiles + 1]);
  } finally {
    index.close();
  }
});
