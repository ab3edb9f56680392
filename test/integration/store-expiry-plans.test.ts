import Database from 'better-sqlite3';
import { expect, it } from 'vitest';
import type { PointPart } from '../../receiver/points/folder-evidence.ts';
import { forgottenVersions } from '../../receiver/store/forgotten-versions.ts';
import { MirrorIndex } from '../../receiver/store/mirror-index.ts';
import { momentOf } from '../../receiver/store/moment.ts';
import { expiringVersionIds, keptIntervals } from '../../receiver/store/version-sweep.ts';
import { keptHistory } from '../support/kept-history.ts';
import { FeedFake, indexA, storeFixture } from '../support/store-fixture.ts';

it('finds by indexes what expires and what is forgotten, and never reads through a table that holds what is kept', async () => {
  let now = 1_800_000_000_000;
  const { open, databasePath } = storeFixture(undefined, { now: () => (now += 1) });
  const store = await open();
  const feed = new FeedFake(() => store);
  const parts: Extract<PointPart, { kind: 'mirror' }>[] = [];
  for (const content of ['one', 'two', 'three', 'four']) {
    await feed.send({ file: content, other: `${content} as well` });
    await feed.complete();
    const { sequence } = feed;
    const index = indexA.toString('hex');
    parts.push({ id: 'media', kind: 'mirror', index, from: sequence, to: sequence });
  }
  await store.close();

  const statements = new Set<string>();
  const verbose = (sql: unknown): void => void statements.add(String(sql));
  const index = new MirrorIndex(new Database(databasePath, { verbose }));
  const [first, second, ...kept] = parts;
  if (first === undefined || second === undefined) throw new Error('too short a history');
  const sweep = (nowMs: number, history: typeof parts): number[] => {
    const rules = { floorDays: 1, longestMs: 2 };
    const intervals = keptIntervals(index.intervals, history);
    const found = expiringVersionIds({ index, nowMs, rules, kept: () => intervals });
    const ids: number[] = [];
    let page = found.next();
    for (; page.done !== true; page = found.next()) ids.push(...page.value);
    index.sweep.write(page.value);
    return ids;
  };
  try {
    statements.clear();
    sweep(now, parts);
    const ids = [...new Set(sweep(now + 2 * 86_400_000, [second, ...kept]))];
    expect(ids).toHaveLength(2);
    const retention = { kind: 'points', floorDays: 1 } as const;
    const asked = { index, nowMs: now, retention, forgotten: [second], kept: keptHistory(kept) };
    expect([...forgottenVersions(asked)].flat()).toHaveLength(2);
    index.intervals.gapsEndedUntil(momentOf(1, 2), 10);
    const meta = index.meta();
    if (meta === null) throw new Error('no state');
    const begin = { ...meta, type: 'begin', batch: 9, at: now, position: null, indexNumber: 0 } as const;
    const flags = { completes: false, settles: false, forgets: false };
    const changes = ids.map((id) => ({ type: 'expire', path: 'file' as never, id, name: null }) as const);
    index.apply({ ...begin, ...flags }, changes, [], meta.mark);
    const asking = new Database(databasePath, { readonly: true });
    const read = [...statements].filter((sql) => /^\s*(SELECT|WITH|DELETE|UPDATE)/i.test(sql));
    expect(read.length).toBeGreaterThan(6);
    for (const sql of read) {
      const plan = asking.prepare<[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).all();
      // of the indexes that were met there are few
      const scans = plan.filter(({ detail }) => /^SCAN (?!indexes)/.test(detail));
      expect(scans, sql).toEqual([]);
    }
    asking.close();
  } finally {
    index.close();
  }
});
