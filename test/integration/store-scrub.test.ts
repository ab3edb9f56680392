import fs from 'node:fs';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ScrubInterrupted } from '../../receiver/scrub/scrub-subject.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { faultyDisk } from '../support/faulty-disk.ts';
import { keptHistory } from '../support/kept-history.ts';
import { RottingDisk } from '../support/long-scrub-bench.ts';
import { scrubPass, subjectOf, type PassOptions } from '../support/scrub-store.ts';
import { FeedFake, fileState, indexA, readTree, sha256, storeFixture } from '../support/store-fixture.ts';
import { removeDatabase } from '../support/store-harness.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

let fixture: ReturnType<typeof storeFixture>;
let directory: string;
let store: MirrorStore;
let feed: FeedFake;

/** Contents by path that an agent still has. */
let served: Record<string, string>;

beforeEach(async () => {
  directory = memoryDirectory();
  fixture = storeFixture(directory, {}, { retention: { kind: 'points', floorDays: 0 } });
  store = await fixture.open();
  feed = new FeedFake(() => store);
  served = {};
  await feed.send({ 'd/a': 'first a', b: 'first b', same: 'twice', 'd/same': 'twice' });
  await feed.send({ 'd/a': 'second a' });
  await feed.complete();
});
afterEach(async () => {
  await store.close();
  fs.rmSync(directory, { recursive: true });
});

const current = (name: string): string => `${fixture.root}/current/${name}`;
const asides = (): string[] =>
  fs.existsSync(`${fixture.root}/damaged`) ? [...readTree(`${fixture.root}/damaged`).keys()] : [];
const damaged = (): [string, boolean, string][] =>
  store.scrub.damaged(null, 100).map(({ path, id, found }) => [path, id === null, found]);

async function reopen(): Promise<void> {
  await store.close();
  store = await fixture.open();
}

async function fetchAgain(records: readonly FileRecord[]): Promise<boolean> {
  let came = false;
  for (const { path, state } of records) {
    const content = served[path];
    if (
      state.kind !== 'file' ||
      content === undefined ||
      (store.need({ path, state, sequence: 1, replaces: null }) !== 'held' &&
        store.need({ path, state, sequence: 1, replaces: null }) !== 'fetch')
    )
      continue;
    store.stage(state.hash, Buffer.from(content));
    came = true;
  }
  return came;
}

const pass = async (options: PassOptions = {}) => scrubPass(() => store, { fetchAgain, ...options });
const versionFile = (): string =>
  `${fixture.root}/versions/${store.listVersions(parseTypedPath('d/a'))[0]?.name}`;

it('says nothing of a store that is whole', async () => {
  expect(await pass()).toMatchObject({ found: 0, repaired: 0, extras: [], books: [] });
  expect(damaged()).toEqual([]);
});

describe('a current file', () => {
  it.each([
    ['has flipped bits', 'content', () => fs.writeFileSync(current('b'), 'firsT b')],
    ['is cut off', 'size', () => fs.truncateSync(current('b'), 3)],
    ['is gone', 'missing', () => fs.rmSync(current('b'))],
    [
      'has become a directory',
      'missing',
      () => {
        fs.rmSync(current('b'));
        fs.mkdirSync(current('b'));
      },
    ],
  ])(
    'that %s is found, stays known over a restart and a lost database, and comes again',
    async (_, found, damage) => {
      damage();
      expect(await pass()).toMatchObject({ found: 1, repaired: 0 });
      expect(damaged()).toEqual([['b', true, found]]);
      expect(fs.existsSync(current('b'))).toBe(false);
      await reopen();
      expect(damaged()).toEqual([['b', true, found]]);
      await store.close();
      removeDatabase(fixture.databasePath);
      store = await fixture.open();
      expect(damaged()).toEqual([['b', true, found]]);
      expect(await pass()).toMatchObject({ found: 0, books: [] });
      served['b'] = 'first b';
      expect(await subjectOf(store, { fetchAgain }).repair(async () => {})).toBe(1);
      expect(fs.readFileSync(current('b'), 'utf8')).toBe('first b');
      expect(damaged()).toEqual([]);
      expect(await pass()).toMatchObject({ found: 0, extras: [], books: [] });
    },
  );

  it('is set aside until it is whole again', async () => {
    fs.writeFileSync(current('b'), 'firsT b');
    await pass();
    expect(asides()).toHaveLength(1);
    expect(fs.readFileSync(`${fixture.root}/damaged/${asides()[0]}`, 'utf8')).toBe('firsT b');
    served['b'] = 'first b';
    await pass();
    await subjectOf(store, { fetchAgain }).repair(async () => {});
    expect(asides()).toEqual([]);
  });

  it('is made whole at once from another place that has the content', async () => {
    fs.writeFileSync(current('same'), 'tWice');
    expect(await pass()).toMatchObject({ found: 1, repaired: 1 });
    expect(fs.readFileSync(current('same'), 'utf8')).toBe('twice');
    expect(fs.statSync(current('same')).ino).not.toBe(fs.statSync(current('d/same')).ino);
  });

  it('counts as damaged in what replaced it as well, and in the points that need it', async () => {
    const part = { id: 'media', kind: 'mirror' as const, index: indexA.toString('hex') };
    const point = { ...part, from: feed.sequence, to: feed.sequence };
    expect(store.provePart(point)).toMatchObject({ state: 'complete' });
    fs.rmSync(current('b'));
    await pass();
    expect(store.provePart(point)).toMatchObject({ state: 'incomplete', files: 1, paths: ['b'] });
    await feed.send({ b: 'second b' });
    expect(damaged()).toEqual([['b', false, 'missing']]);
    expect(store.provePart(point)).toMatchObject({ state: 'incomplete', files: 1, paths: ['b'] });
    const later = { ...part, from: feed.sequence, to: feed.sequence };
    expect(store.provePart(later)).toMatchObject({ state: 'complete' });
    expect(await pass()).toMatchObject({ found: 0 });
  });

  it('that was put back by hand is whole again', async () => {
    fs.rmSync(current('b'));
    await pass();
    fs.writeFileSync(current('b'), 'first b');
    await subjectOf(store).repair(async () => {});
    expect(damaged()).toEqual([]);
  });

  it('that was put back by hand and reads wrong once is whole again', async () => {
    await store.close();
    const rotting = new RottingDisk(() => fixture.root);
    store = await storeFixture(directory, { disk: rotting.disk }).open();
    fs.rmSync(current('b'));
    await pass();
    fs.writeFileSync(current('b'), 'first b');
    rotting.rot.set('current/b', { wrongAt: [0] });
    let begun = 0;
    rotting.onRead = (name, position) => {
      if (name !== 'current/b' || position > 0) return;
      begun += 1;
      if (begun > 1) rotting.rot.clear();
    };
    expect(await subjectOf(store).repair(async () => {})).toBe(1);
    expect(damaged()).toEqual([]);
  });

  it('that was put back wrong by hand is read twice, and again when it has been changed', async () => {
    await store.close();
    const rotting = new RottingDisk(() => fixture.root);
    store = await storeFixture(directory, { disk: rotting.disk }).open();
    fs.rmSync(current('b'));
    await pass();
    const repair = async (): Promise<number> => subjectOf(store).repair(async () => {});
    fs.writeFileSync(current('b'), 'firsT b');
    fs.utimesSync(current('b'), 1, 1);
    expect([await repair(), await repair(), rotting.takeRead('current/b')]).toEqual([
      0,
      0,
      2 * 'firsT b'.length,
    ]);
    fs.writeFileSync(current('b'), 'first b');
    fs.utimesSync(current('b'), 1, 2);
    expect(await repair()).toBe(1);
    expect(damaged()).toEqual([]);
  });

  it('that somebody has put back stops being read when the scrub has to end, and what was found counts', async () => {
    fs.rmSync(current('b'));
    await pass();
    fs.writeFileSync(current('b'), 'first b');
    fs.writeFileSync(current('same'), 'twicE');
    const interrupt = async (): Promise<never> => {
      throw new ScrubInterrupted();
    };
    await expect(subjectOf(store).repair(interrupt)).rejects.toThrow(ScrubInterrupted);
    const pace = async (bytes: number): Promise<void> => (bytes === 0 ? interrupt() : undefined);
    const { found, next } = await subjectOf(store).read('files:d/same', pace);
    expect(found).toEqual(['same (changed)']);
    expect(next).toBe('files:same');
    expect(damaged().map(([path]) => path)).toEqual(['b', 'same']);
  });

  it.each([
    ['it has to end', new ScrubInterrupted(), { repaired: 1, repairTried: false, lacksRoom: null }],
    [
      'there is no room',
      new CodedError('QUOTA_REACHED', 'the quota is used up'),
      { repaired: 1, repairTried: false, lacksRoom: 'the quota is used up' },
    ],
  ])(
    'that was made whole counts as repaired when the repair goes no further because %s',
    async (_, error, step) => {
      fs.rmSync(current('b'));
      await pass();
      fs.writeFileSync(current('same'), 'twicE');
      const subject = subjectOf(store, {
        fetchAgain: async () => {
          throw error;
        },
      });
      expect(await subject.read('files:d/same', async () => {})).toMatchObject({
        ...step,
        found: ['same (changed)'],
      });
      expect(damaged().map(([path]) => path)).toEqual(['b']);
    },
  );

  it('that the disk refuses to read is damaged, while the others are read', async () => {
    await store.close();
    let reads = 0;
    const failing = { ...nodeDisk };
    failing.readLater = async (fd, target, position) => {
      reads += 1;
      return fs.readlinkSync(`/proc/self/fd/${fd}`) === current('b')
        ? faultyDisk(nodeDisk, { call: 'read', count: 1, systemCode: 'EIO' }).disk.readLater(
            fd,
            target,
            position,
          )
        : nodeDisk.readLater(fd, target, position);
    };
    store = await storeFixture(directory, { disk: failing }).open();
    expect(await pass()).toMatchObject({ found: 1 });
    expect(damaged()).toEqual([['b', true, 'unreadable']]);
    expect(reads).toBeGreaterThan(5);
  });

  it('that is replaced while it is read is no damage', async () => {
    let replaced = false;
    const result = await pass({
      pace: async () => {
        if (replaced) return;
        replaced = true;
        await feed.send({ 'd/a': 'third a', b: 'second b', same: 'other', 'd/same': null });
      },
    });
    expect(result).toMatchObject({ found: 0, extras: [] });
  });

  it('that reads wrong once and right then is no damage', async () => {
    await store.close();
    let garbled = false;
    const garbling = { ...nodeDisk };
    garbling.readLater = async (fd, target, position) => {
      const length = await nodeDisk.readLater(fd, target, position);
      if (!garbled && length > 0) target[0] = (target[0] ?? 0) ^ 1;
      garbled = true;
      return length;
    };
    store = await storeFixture(directory, { disk: garbling }).open();
    expect(await pass()).toMatchObject({ found: 0 });
    expect(garbled).toBe(true);
  });
});

describe('an older version', () => {
  it('is made whole from another place that has the content', async () => {
    await feed.send({ copy: 'first a' });
    fs.writeFileSync(versionFile(), 'firsT a');
    expect(await pass()).toMatchObject({ found: 1, repaired: 1 });
    expect(fs.readFileSync(versionFile(), 'utf8')).toBe('first a');
  });

  it('of which nothing else is held is marked, with the points that need it, and is not asked for', async () => {
    served['d/a'] = 'first a';
    const part = { id: 'media', kind: 'mirror' as const, index: indexA.toString('hex'), from: 4, to: 4 };
    expect(store.provePart(part)).toMatchObject({ state: 'complete' });
    fs.rmSync(versionFile());
    expect(await pass()).toMatchObject({ found: 1, repaired: 0 });
    expect(damaged()).toEqual([['d/a', false, 'missing']]);
    expect(store.provePart(part)).toMatchObject({ state: 'incomplete', files: 1, paths: ['d/a'] });
    expect(store.copies(sha256('first a'))).toEqual([]);
    const state = fileState('first a');
    const record = { path: parseTypedPath('new'), sequence: feed.sequence + 1, replaces: null, state };
    expect(store.need(record)).toBe('fetch');
  });

  it('that expires takes its damaged bytes along', async () => {
    fs.writeFileSync(versionFile(), 'firsT a');
    await pass();
    expect(asides()).toHaveLength(1);
    await store.expire(Date.now() + 1000 * 86_400_000, keptHistory([]));
    expect(store.listVersions(parseTypedPath('d/a'))).toEqual([]);
    expect(asides()).toEqual([]);
    expect(damaged()).toEqual([]);
  });
});

it('comes to the end of a folder that has nothing in it but its root', async () => {
  const other = await storeFixture(memoryDirectory()).open();
  const empty = new FeedFake(() => other);
  await empty.send({ '': { kind: 'directory', mode: 0o755, uid: 0, gid: 0 } });
  expect(await scrubPass(() => other)).toMatchObject({ found: 0, extras: [], books: [] });
  await other.close();
});

describe('files that nobody stored', () => {
  it('are told and left alone', async () => {
    fs.writeFileSync(current('d/stranger'), 'mine');
    fs.writeFileSync(`${fixture.root}/versions/b~20200101-000000`, 'mine');
    fs.symlinkSync('/etc/passwd', current('link'));
    fs.writeFileSync(`${fixture.root}/journal/000009.journal`, 'mine');
    fs.writeFileSync(`${fixture.root}/notes.txt`, 'mine');
    fs.mkdirSync(`${fixture.root}/mine`);
    fs.writeFileSync(`${fixture.root}/mine/a`, 'mine');
    const expected = [
      'current/d/stranger',
      'current/link',
      'journal/000009.journal',
      'mine/a',
      'notes.txt',
      'versions/b~20200101-000000',
    ];
    expect((await pass()).extras).toEqual(expected);
    expect(expected.every((name) => store.scrub.isExtra(name))).toBe(true);
    fs.rmSync(current('d/stranger'));
    expect(store.scrub.isExtra('current/d/stranger')).toBe(false);
    expect(fs.readFileSync(`${fixture.root}/versions/b~20200101-000000`, 'utf8')).toBe('mine');
  });

  it('are none that a batch has put in place and that the database does not know yet', async () => {
    await store.close();
    const disk = { ...nodeDisk };
    const looks: Promise<{ extras: string[] }>[] = [];
    disk.syncDirectory = async (place) => {
      if (place.endsWith('/current') && fs.existsSync(current('new')))
        looks.push(store.scrub.extras(null, async () => {}));
      await nodeDisk.syncDirectory(place);
    };
    store = await storeFixture(directory, { disk }).open();
    await feed.send({ new: 'new' });
    expect(looks).not.toEqual([]);
    for (const looked of looks) expect(await looked).toMatchObject({ extras: [] });
  });

  it('do not come from a batch that is putting its files in place', async () => {
    const sends: Promise<void>[] = [];
    const result = await pass({
      beforeStep: async () => {
        sends.push(feed.send({ [`new-${sends.length}`]: `new ${sends.length}`, b: `b ${sends.length}` }));
      },
    });
    await Promise.all(sends);
    expect(result).toMatchObject({ found: 0, extras: [], books: [] });
  });
});

describe('the books', () => {
  const segment = (): string => {
    const names = fs.readdirSync(`${fixture.root}/journal`).filter((name) => name.endsWith('.journal'));
    return `${fixture.root}/journal/${names.sort().at(-1)}`;
  };
  const rebuild = async (): Promise<void> => {
    await store.close();
    removeDatabase(fixture.databasePath);
    store = await fixture.open();
  };

  it.each([
    [
      'a flipped bit in a line',
      () => {
        const text = fs.readFileSync(segment(), 'utf8');
        fs.writeFileSync(segment(), text.replace('"path":"b"', '"path":"c"'));
      },
    ],
    [
      'lines that are gone from its end',
      () => {
        const lines = fs.readFileSync(segment(), 'utf8').split('\n');
        fs.writeFileSync(segment(), `${lines.slice(0, -5).join('\n')}\n`);
      },
    ],
    [
      'whole lines that are gone from its middle',
      () => {
        const lines = fs.readFileSync(segment(), 'utf8').split('\n');
        const from = lines.findIndex((line) => line.includes('"type":"begin","batch":2'));
        const to = lines.findIndex((line) => line.includes('"type":"commit","batch":2'));
        fs.writeFileSync(segment(), lines.toSpliced(from, to - from + 1).join('\n'));
      },
    ],
    ['a segment that is gone', () => fs.rmSync(segment())],
  ])('tell of %s in the journal, which is written anew from the database', async (_, damage) => {
    damage();
    expect(await pass()).toMatchObject({ found: 1, repaired: 1, books: ['JOURNAL_DAMAGED', 'over'] });
    expect(await pass()).toMatchObject({ found: 0, books: [] });
    await feed.send({ b: 'after' });
    await rebuild();
    expect(store.opened.damagedJournal).toBeNull();
    expect(store.listVersions(parseTypedPath('d/a'))).toHaveLength(1);
    expect(store.listVersions(parseTypedPath('b'))).toHaveLength(1);
  });

  it.each([
    ['another hash', `UPDATE live SET hash = zeroblob(32) WHERE path = CAST('b' AS BLOB)`],
    ['a row too few', `DELETE FROM live WHERE path = CAST('b' AS BLOB)`],
    ['a version too few', 'DELETE FROM versions'],
    [
      'a row too many',
      `INSERT INTO live SELECT CAST('x' AS BLOB), named_in, kind, size, mtime_ns, mode, uid, gid, hash, target, index_id, sequence, replaces, received_at, begun FROM live WHERE path = CAST('b' AS BLOB)`,
    ],
    ['another position', `UPDATE meta SET value = replace(value, '"sequence":5', '"sequence":4')`],
    ['a mark of damage too few', null],
  ])('tell of %s in the database, which is made anew without a false alarm about files', async (_, sql) => {
    if (sql === null) {
      fs.rmSync(current('b'));
      await pass();
    }
    const other = new Database(fixture.databasePath);
    expect(other.prepare(sql ?? 'DELETE FROM damaged').run().changes).toBeGreaterThan(0);
    other.close();
    const before = sql === null ? 1 : 0;
    expect(await pass({ rebuild })).toMatchObject({ found: 1, books: ['DATABASE_CORRUPT', 'over'] });
    expect(damaged()).toHaveLength(before);
    expect(await pass()).toMatchObject({ found: 0, extras: [], books: [] });
  });

  it('keep what is known to be damaged when the journal is written anew', async () => {
    fs.rmSync(current('b'));
    fs.writeFileSync(versionFile(), 'firsT a');
    await pass();
    const known = damaged();
    expect(known).toHaveLength(2);
    fs.truncateSync(segment(), 100);
    expect(await pass()).toMatchObject({ found: 1, books: ['JOURNAL_DAMAGED', 'over'] });
    expect(await pass()).toMatchObject({ found: 0, books: [] });
    await rebuild();
    expect(damaged()).toEqual(known);
    expect(asides()).toHaveLength(1);
  });

  it('tell of a batch that is gone from the end of a segment which others follow, instead of believing the rest', async () => {
    await store.close();
    const small = storeFixture(directory, {}, { journalSegmentBytesMax: 600 });
    store = await small.open();
    for (let at = 0; at < 6; at += 1) await feed.send({ [`file-${at}`]: `content ${at}` });
    const names = fs.readdirSync(`${fixture.root}/journal`).sort();
    expect(names.length).toBeGreaterThan(2);
    const file = `${fixture.root}/journal/${names.at(-2)}`;
    const lines = fs.readFileSync(file, 'utf8').split('\n');
    const from = lines.findLastIndex((line) => line.includes('"type":"begin"'));
    fs.writeFileSync(file, `${lines.slice(0, from).join('\n')}\n`);
    expect(await pass()).toMatchObject({ found: 1, books: ['JOURNAL_DAMAGED', 'over'] });
    expect(await pass()).toMatchObject({ found: 0, extras: [], books: [] });
  });

  it('tell of a page of the database that is not what SQLite wrote', async () => {
    for (let at = 0; at < 300; at += 1) await feed.send({ [`file-${at}`]: `content ${at}` });
    await reopen();
    const pages = fs.statSync(fixture.databasePath).size / 4096;
    const fd = fs.openSync(fixture.databasePath, 'r+');
    fs.writeSync(fd, Buffer.alloc(2048, 0xff), 0, 2048, 4096 * (pages - 2));
    fs.closeSync(fd);
    const result = await pass({ rebuild });
    expect(result.books).toEqual(['DATABASE_CORRUPT', 'over']);
    expect(await pass()).toMatchObject({ found: 0, extras: [], books: [] });
  });
});

it('says that the disk is gone instead of that all files are', async () => {
  fs.renameSync(fixture.root, `${fixture.root}-unmounted`);
  fs.mkdirSync(`${fixture.root}/current`, { recursive: true });
  const read = store.scrub.files(null, async () => {}).catch((error: unknown) => error);
  expect(isCoded(await read, 'DISK_FAILED')).toBe(true);
  fs.rmSync(fixture.root, { recursive: true });
  fs.renameSync(`${fixture.root}-unmounted`, fixture.root);
  expect(await pass()).toMatchObject({ found: 0 });
});
