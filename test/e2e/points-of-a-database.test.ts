import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RestoreResult } from '../../agent/restore/run-restore.ts';
import { MediaRows } from '../support/media-rows.ts';
import { startPostgres, type PostgresServer } from '../support/postgres.ts';
import { SealedWorkbench } from '../support/sealed-workbench.ts';
import { until } from '../support/until.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const livedMs = 5000;
const dumps = 3;
/** More of them than come in `livedMs`, at about 25 a second. */
const filesBetween = 170;

let server: PostgresServer;
let sealed: SealedWorkbench;
let rows: MediaRows;

beforeAll(async () => {
  server = await startPostgres();
  server.createDatabase('mastodon');
  sealed = await SealedWorkbench.create('points-database');
  const seed = process.env['MASTOKEEP_SEED'] ?? 'points of a database';
  rows = new MediaRows(server, 'mastodon', sealed.bench.source, new SeededRandom(seed));
  await sealed.addFolder('database', '--postgres', server.connection('mastodon'));
});

afterAll(async () => {
  await rows.stop();
  await sealed.dispose();
  await server.stop();
});

/** The files that the rows in a restored dump name. */
function namedIn(archive: string): string[] {
  const sql = server.run('pg_restore', ['--data-only', '--table=media', '-f', '-', archive]).toString();
  return sql.split('\n').flatMap((line) => /^\d+\t(.+)$/.exec(line)?.[1] ?? []);
}

type Interval = { from: number; to: number };

/** What the agent announced of the media that was there in the interval. Every file has one content only. */
function announcedIn({ from, to }: Interval): string[] {
  const database = new Database(path.join(sealed.bench.agent.home, 'index.db'), { readonly: true });
  try {
    const gone = database
      .prepare<[number, number], { path: Buffer }>(
        `SELECT path FROM tombstones WHERE folder = (SELECT id FROM folders WHERE name = 'media') AND replaces <= ? AND sequence > ?`,
      )
      .all(to, from);
    const live = database
      .prepare<[number], { path: Buffer }>(
        `SELECT CAST(CASE WHEN parent = x'' THEN name ELSE parent || '/' || name END AS BLOB) AS path FROM records
         WHERE folder = (SELECT id FROM folders WHERE name = 'media') AND sequence <= ?`,
      )
      .all(to);
    return [...gone, ...live].map(({ path }) => path.toString()).filter((name) => name.endsWith('.png'));
  } finally {
    database.close();
  }
}

type Listed = { id: string; incompleteFiles: number | null; folders: ({ id: string } & Interval)[] };

async function listPoints(): Promise<Listed[]> {
  const stdout = await sealed.bench.receiver.must(['points', '--json']);
  return (JSON.parse(stdout) as { points: Listed[] }).points;
}

/** A point that is made while the receiver is away: what is gone before it is back never comes. */
async function pointOfStarved(): Promise<string> {
  await sealed.bench.receiver.kill();
  const [away, came] = [rows.time.now(), rows.lives.size];
  // so that many of them are announced
  await until('files came meanwhile', () => rows.lives.size >= came + filesBetween);
  const stdout = await sealed.bench.agent.must(['dump', '--pin', 'starved']);
  const made = rows.time.now();
  const lost = (): number =>
    [...rows.lives.values()].filter(({ born, died }) => born > away && died !== null && died > made).length;
  await until('some of them are gone', () => lost() >= 20);
  await sealed.bench.receiver.start();
  const point = /restore point (\S+)/.exec(stdout)?.[1] ?? '';
  await until('the point is held', async () => {
    const held = (await listPoints()).find(({ id }) => id === point);
    return held === undefined || held.incompleteFiles === null ? null : held;
  });
  return point;
}

/** By both programs, without a limit. */
async function expectAllNamed(point: string, lacking: readonly string[]): Promise<void> {
  const text = await sealed.bench.receiver.must(['points', point, '--lacking']);
  const lines = text.trimEnd().split('\n');
  expect(lines).toEqual(expect.arrayContaining(lacking.map((file) => `media/${file}`)));
  expect(lines).toHaveLength((await listPoints()).find(({ id }) => id === point)?.incompleteFiles ?? 0);
  const told = await sealed.onRestorer(['points', point.slice(0, 20), '--lacking', '--json']);
  const { lacking: named } = JSON.parse(told.stdout) as { lacking: { folder: string; path: string }[] };
  expect(named.map(({ folder, path: file }) => `${folder}/${file}`)).toEqual(lines);
}

it('holds in a restore point every file that the rows of its dump name, though files come and go while it is made', async () => {
  const stopped = new AbortController();
  const churning = rows.churn(stopped.signal);
  const points: string[] = [];
  try {
    await until('there are many files', () => (rows.lives.size > 100 ? true : null));
    for (let number = 1; number <= dumps; number += 1) {
      const before = rows.lives.size;
      const stdout = await sealed.bench.agent.must(['dump', '--pin', `dump ${number}`, '--wait-copies', '1']);
      points.push(/restore point (\S+)/.exec(stdout)?.[1] ?? '');
      // so that each dump sees files that were replaced, and some that will be
      await until('more files came', () => rows.lives.size >= before + filesBetween);
    }
    points.push(await pointOfStarved());
    const gone = (): number => [...rows.lives.values()].filter(({ died }) => died !== null).length;
    await until('many of them are gone', () => (gone() > 100 ? true : null));
  } finally {
    stopped.abort();
    await churning;
  }
  const seen = { named: 0, goneSince: 0, short: 0, announced: 0, lacking: 0, starved: [] as string[] };
  const listed = await listPoints();
  const starved = points.at(-1);
  for (const point of points) {
    const to = sealed.target(point);
    const { stdout, stderr } = await sealed.restore(['--at', point, '--to', to, '--json', ...sealed.withKey]);
    const { folders } = JSON.parse(stdout) as RestoreResult;
    const failed = new Set(folders.flatMap((folder) => folder.failed.map(({ path: name }) => name)));
    const named = namedIn(path.join(to, 'database/database.dump'));
    expect(named.length, stderr).toBeGreaterThan(50);
    for (const file of named) {
      seen.named += 1;
      const life = rows.lives.get(file);
      const place = path.join(to, 'media', file);
      const isThere = fs.existsSync(place) && fs.readFileSync(place, 'utf8') === file.repeat(100);
      const age = (life?.died ?? Infinity) - (life?.born ?? 0);
      if (life?.died != null) seen.goneSince += 1;
      if (age < livedMs || point === starved) seen.short += 1;
      else expect(isThere, `${file} of ${point}, which lived for ${age} ms`).toBe(true);
      if (failed.has(file)) expect(isThere, `${file} counts as lacking`).toBe(false);
    }
    const told = listed.find(({ id }) => id === point);
    const interval = told?.folders.find(({ id }) => id === 'media');
    const lacking = announcedIn(interval ?? { from: 0, to: 0 }).filter((file) => {
      seen.announced += 1;
      return !fs.existsSync(path.join(to, 'media', file));
    });
    // and what came and went unseen behind the point
    seen.lacking += lacking.length;
    if (point === starved) seen.starved = lacking;
    expect(told?.incompleteFiles ?? 0).toBe(failed.size);
    for (const file of lacking) expect(failed, `${file} of ${point}`).toContain(file);
  }
  expect(points).toHaveLength(dumps + 1);
  await expectAllNamed(starved ?? '', seen.starved);
  expect(seen.lacking).toBeGreaterThan(0);
  expect(seen.goneSince).toBeGreaterThan(20);
  expect(seen.announced).toBeGreaterThan(seen.named);
});
