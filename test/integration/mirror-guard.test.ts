import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultGuardRules } from '../../receiver/guard/guard-rules.ts';
import { pastQueries } from '../../receiver/store/folder-past.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import {
  gone,
  GuardBench,
  hourMs,
  kib,
  minuteMs,
  names,
  smallRules,
  written,
} from '../support/guard-bench.ts';
import { fileState, indexB } from '../support/store-fixture.ts';

let bench: GuardBench;

beforeEach(async () => {
  bench = await GuardBench.open();
});

afterEach(async () => {
  await bench.dispose();
});

describe('a mirror folder', () => {
  const all = names(40);

  beforeEach(async () => {
    await bench.feed.send(written(all));
    await bench.feed.complete();
    await bench.pass(48);
    expect(bench.codes()).toEqual([]);
  });

  it('freezes its agent when a quarter of its files is deleted, and not when less is', async () => {
    await bench.feed.send(gone(all.slice(0, 9)));
    expect(await bench.check()).toBe(false);
    bench.now += minuteMs;
    await bench.feed.send(gone(all.slice(9, 10)));
    expect(await bench.check()).toBe(true);
    const [hit] = bench.guards.hits(bench.agent);
    expect(hit).toMatchObject({
      folder: 'media',
      code: 'MASS_CHANGE',
      since: new Date(bench.now).toISOString(),
    });
    expect(hit?.what).toBe(
      'of the 40 files (550 B) that folder media had at 2026-11-02 00:00 UTC, 10 (130 B) were deleted and 0 (0 B) rewritten until 2026-11-03 00:31 UTC',
    );
    expect(bench.alarms.list()).toMatchObject([{ code: 'MASS_CHANGE' }]);
    expect(bench.alarms.list()[0]?.message).toContain(
      `nothing of agent ${bench.agent.slice(0, 7)} expires any more: look at the server`,
    );
  });

  it('freezes it when files are written anew under their names, or encrypted and renamed', async () => {
    await bench.feed.send(written(all.slice(0, 6), 'encrypted'));
    expect(await bench.check()).toBe(false);
    await bench.feed.send({ ...gone(all.slice(6, 10)), ...written(names(4, 'locked'), 'encrypted') });
    expect(await bench.check()).toBe(true);
    expect(bench.guards.hits(bench.agent)[0]?.what).toMatch(/4 \(.* deleted and 6 \(.* rewritten/);
  });

  it('freezes it when few files are gone that are most of its bytes', async () => {
    const [large, other] = [Buffer.alloc(150 * kib, 'l'), Buffer.alloc(150 * kib, 'o')];
    await bench.feed.send({ large, other });
    await bench.pass(48);
    await bench.feed.send({ large: null });
    expect(await bench.check()).toBe(true);
  });

  it('freezes it when a new index no longer names the files', async () => {
    bench.feed.renew(indexB);
    await bench.feed.send(
      Object.fromEntries(all.slice(20).map((name) => [name, fileState(`content of ${name}`)])),
    );
    expect(await bench.check()).toBe(false);
    await bench.feed.complete();
    expect(await bench.check()).toBe(true);
  });

  it('says it as soon as the batch is durable, without waiting for the hourly look', async () => {
    bench.guards.noteDurable(bench.agent, 'media', bench.media);
    await bench.guards.settled();
    for (const name of all.slice(0, 12)) {
      await bench.feed.send(gone([name]));
      bench.guards.noteDurable(bench.agent, 'media', bench.media);
      await bench.guards.settled();
    }
    expect(bench.alarms.list()).toMatchObject([{ code: 'MASS_CHANGE' }]);
    expect(bench.guards.isFrozen(bench.agent)).toBe(true);
  });

  it('tells for another day how much it has become, since when, and does not unlearn it', async () => {
    await bench.feed.send(gone(all.slice(0, 10)));
    await bench.check();
    bench.now += 20 * hourMs;
    await bench.feed.send(gone(all.slice(10, 30)));
    const since = bench.guards.hits(bench.agent)[0]?.since;
    await bench.pass(24 * 20);
    await bench.feed.send(gone(all.slice(30)));
    await bench.check();
    const [hit] = bench.guards.hits(bench.agent);
    expect(hit?.what).toMatch(/had at 2026-11-02 00:00 UTC, 30 \(410 B\) were deleted/);
    expect(hit?.since).toBe(since);
  });

  it('notices the loss of files that are younger than the window as soon as they would be older', async () => {
    await bench.feed.send(written(names(100, 'young')));
    bench.now += 2 * hourMs;
    await bench.feed.send(gone(names(100, 'young')));
    expect(await bench.check()).toBe(false);
    await bench.pass(24);
    expect(bench.codes()).toEqual(['MASS_CHANGE']);
  });

  it('is not deceived by new files that make the lost ones a smaller part', async () => {
    await bench.feed.send({ ...gone(all.slice(0, 10)), ...written(names(200, 'garbage')) });
    expect(await bench.check()).toBe(true);
  });

  it('has no opinion on what is switched off', async () => {
    bench.openGuards({ ...smallRules, changes: null });
    await bench.feed.send(gone(all));
    expect(await bench.check()).toBe(false);
  });
});

it('counts what is gone by the age of versions and by hashes, without a walk over the folder', () => {
  const file = path.join(bench.directory, 'home', 'db', bench.agent, 'media.db');
  const database = openDatabase(file, { readonly: true });
  const values = { atMs: 0, fromAt: 0, fromId: 0, toAt: 1, toId: 1 };
  const steps = database.prepare(`EXPLAIN QUERY PLAN ${pastQueries.gone}`).all(values) as {
    detail: string;
  }[];
  database.close();
  const plan = steps.map(({ detail }) => detail).join('\n');
  expect(plan).toContain('USING INDEX versions_by_age (replaced_at>? AND replaced_at<?)');
  expect(plan).toContain('INDEX live_by_hash (hash=?)');
  expect(plan).not.toMatch(/SCAN (live|v)\b/);
});

describe('ordinary life of a mirror folder', () => {
  it('is a first copy over days, and slow growth', async () => {
    for (let day = 0; day < 6; day += 1) {
      await bench.feed.send(written(names(30, 'f', 30 * day)));
      await bench.pass(24);
    }
    for (let day = 0; day < 6; day += 1) {
      await bench.feed.send({ ...written(names(3, 'g', 3 * day)), ...gone([`f${day}`]) });
      await bench.pass(24);
    }
    expect(bench.codes()).toEqual([]);
  });

  it('is a folder that has grown, of which as much is deleted as would once have been a quarter', async () => {
    await bench.feed.send(written(names(40)));
    await bench.pass(48);
    await bench.feed.send(gone(names(9)));
    await bench.check();
    await bench.feed.send(written(names(100, 'new')));
    await bench.pass(48);
    await bench.feed.send(gone(names(20, 'new')));
    expect(await bench.check()).toBe(false);
  });

  it('is the daily clean-up that deletes all remote media of a day a week ago', async () => {
    for (let day = 0; day < 16; day += 1) {
      await bench.feed.send(written(names(20, `day${day}-`)));
      await bench.pass(20);
      if (day >= 7) await bench.feed.send(gone(names(20, `day${day - 7}-`)));
      await bench.pass(4);
    }
    expect(bench.media.usage().versions).toBe(180);
    expect(bench.codes()).toEqual([]);
  });

  it('is an upgrade that moves every file to another path, and one that changes every mode', async () => {
    const all = names(40);
    await bench.feed.send(written(all));
    await bench.pass(48);
    await bench.feed.send({
      ...Object.fromEntries(all.map((name) => [`cache/${name}`, fileState(`content of ${name}`)])),
      ...gone(all),
    });
    await bench.pass(48);
    await bench.feed.send(
      Object.fromEntries(
        all.map((name) => [`cache/${name}`, { ...fileState(`content of ${name}`), mode: 0o600 }]),
      ),
    );
    await bench.pass(48);
    expect(bench.codes()).toEqual([]);
    await bench.feed.send(gone(all.map((name) => `cache/${name}`)));
    expect(await bench.check()).toBe(true);
  });

  it('is a file that is written a thousand times, and files that come and go within the day', async () => {
    await bench.feed.send(written(names(40)));
    await bench.pass(48);
    for (let at = 0; at < 100; at += 1) {
      bench.now += minuteMs;
      await bench.feed.send({
        f0: `content ${at}`,
        ...written([`passing${at}`]),
        ...gone([`passing${at - 1}`]),
      });
    }
    expect(bench.media.usage().versions).toBeGreaterThan(190);
    expect(await bench.check()).toBe(false);
  });

  it('is a small server whose owner deletes half of what he has', async () => {
    bench.openGuards(defaultGuardRules);
    await bench.feed.send(written(names(150)));
    await bench.pass(48);
    await bench.feed.send(gone(names(99)));
    await bench.pass(48);
    expect(bench.codes()).toEqual([]);
    await bench.feed.send(gone(names(1, 'f', 99)));
    expect(await bench.check()).toBe(false);
  });

  it('is an agent whose database was lost and who names everything again', async () => {
    await bench.feed.send(written(names(40)));
    await bench.feed.complete();
    await bench.pass(48);
    bench.feed.renew(indexB);
    await bench.feed.send(
      Object.fromEntries(names(40).map((name) => [name, fileState(`content of ${name}`)])),
    );
    await bench.feed.complete();
    await bench.pass(48);
    expect(bench.codes()).toEqual([]);
  });
});
