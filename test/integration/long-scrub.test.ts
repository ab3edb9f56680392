import fs from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inFile, type ScrubPosition } from '../../receiver/scrub/scrub-position.ts';
import { bytesPerFile } from '../../receiver/store/content-check.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { keptHistory } from '../support/kept-history.ts';
import { longContent, LongScrubBench, smallLimits } from '../support/long-scrub-bench.ts';

const size = 2000;
const long = longContent('long', size);
const name = 'current/long';

let bench: LongScrubBench;

beforeEach(async () => {
  bench = new LongScrubBench();
  await bench.begin({ before: Buffer.from('before'), long, 'z-behind': Buffer.from('behind') });
});
afterEach(async () => {
  await bench.end();
});

const damaged = (): [string, number | null, string][] =>
  bench.store.scrub.damaged(null, 100).map(({ path, id, found }) => [path, id, found]);
const readOfLong = (): number => bench.rotting.takeRead(name);
const isIn = (at: ScrubPosition | null, file?: string): boolean =>
  typeof at === 'object' && at !== null && (file === undefined || at.in === file);

describe('of a long file', () => {
  it('only the rest is read after a stop, and everything is counted once', async () => {
    await bench.stepInto('files:long', 1024);
    expect(readOfLong()).toBe(1024);
    await bench.restart();
    await bench.finish();
    expect(readOfLong()).toBe(size - 1024);
    expect(bench.found).toEqual([]);
    const files = [Buffer.from('before'), long, Buffer.from('behind')];
    const whole = files.reduce((sum, { length }) => sum + length + bytesPerFile, 0);
    expect(bench.counted).toBe(whole);
  });

  it.each([
    ['in what was read before a stop', 3],
    ['in what is read behind it', 1999],
  ])('damage %s is found, looked at twice, and counted once', async (_, at) => {
    bench.rotting.rot.set(name, { wrongAt: [at] });
    await bench.stepInto('files:long', 1024);
    await bench.restart();
    await bench.finish();
    expect(readOfLong()).toBe(2 * size);
    expect(damaged()).toEqual([['long', null, 'content']]);
    expect(bench.found).toEqual(['long (changed)']);
    expect(bench.counted).toBe(size + 'before'.length + 'behind'.length + 3 * bytesPerFile);
  });

  it('the second look goes on after a stop as well', async () => {
    bench.rotting.rot.set(name, { wrongAt: [3] });
    await bench.stepInto('files:long', 1024, 'content');
    expect(readOfLong()).toBe(size + 1024);
    await bench.restart();
    await bench.finish();
    expect(readOfLong()).toBe(size - 1024);
    expect(damaged()).toEqual([['long', null, 'content']]);
  });

  it('what reads wrong once and right then is no damage, with a stop in between too', async () => {
    bench.rotting.rot.set(name, { wrongAt: [3] });
    await bench.stepInto('files:long', 512);
    bench.rotting.rot.clear();
    await bench.stepInto('files:long', 512, 'content');
    await bench.restart();
    await bench.finish();
    expect(damaged()).toEqual([]);
    expect(readOfLong()).toBe(2 * size);
  });

  it('what the disk refuses to read in its middle twice is damage', async () => {
    bench.rotting.rot.set(name, { failsAt: 1500 });
    await bench.stepInto('files:long', 512, 'unreadable');
    await bench.restart();
    await bench.finish();
    expect(damaged()).toEqual([['long', null, 'unreadable']]);
  });

  it('what is cut off after a part was read is damage', async () => {
    await bench.stepInto('files:long', 1024);
    fs.truncateSync(bench.place(name), 1500);
    await bench.restart();
    await bench.finish();
    expect(damaged()).toEqual([['long', null, 'size']]);
  });

  it('what is gone after a part was read is damage', async () => {
    await bench.stepInto('files:long', 1024);
    fs.rmSync(bench.place(name));
    await bench.restart();
    await bench.finish();
    expect(damaged()).toEqual([['long', null, 'missing']]);
  });

  it('what is cut off before its first byte is read is damage', async () => {
    bench.at = 'files:before';
    await bench.step(async () => fs.truncateSync(bench.place(name), 0));
    await bench.finish();
    expect(damaged()).toEqual([['long', null, 'size']]);
  });

  it('what is gone before its first byte is read is damage', async () => {
    bench.at = 'files:before';
    await bench.step(async () => fs.rmSync(bench.place(name), { force: true }));
    await bench.finish();
    expect(damaged()).toEqual([['long', null, 'missing']]);
  });

  it('what is cut off while it is read is damage', async () => {
    await bench.stepInto('files:long', 1024);
    let cut = false;
    await bench.step(async () => {
      if (!cut) fs.truncateSync(bench.place(name), 1025);
      cut = true;
    });
    await bench.finish();
    expect(damaged()).toEqual([['long', null, 'size']]);
  });
});

describe('a long file that is half read', () => {
  it.each([
    ['by other content of the same size', longContent('another', size)],
    ['by other content that is short', Buffer.from('short')],
    ['by a link', { kind: 'symlink' as const, target: Buffer.from('x'), mtimeNs: 5n, uid: 0, gid: 0 }],
    ['by nothing', null],
  ])('and then replaced %s is no damage', async (_, change) => {
    await bench.stepInto('files:long', 1024);
    await bench.restart();
    await bench.feed.send({ long: change });
    await bench.finish();
    expect(bench.found).toEqual([]);
    expect(damaged()).toEqual([]);
    if (Buffer.isBuffer(change)) expect(readOfLong()).toBe(1024 + change.length);
    expect(bench.counted).toBeGreaterThanOrEqual(0);
  });

  it.each([
    ['', false],
    [' on a file system whose times tell nothing', true],
  ])('and then replaced while its second look is under way is no damage%s', async (_, isTimeless) => {
    bench.rotting.isTimeless = isTimeless;
    bench.rotting.rot.set(name, { wrongAt: [3] });
    await bench.stepInto('files:long', 1024, 'content');
    bench.rotting.rot.clear();
    await bench.feed.send({ long: longContent('another', size) });
    await bench.finish();
    expect(bench.found).toEqual([]);
  });

  it('is read from its beginning when somebody has touched it', async () => {
    await bench.stepInto('files:long', 1024);
    fs.utimesSync(bench.place(name), 1, 1);
    await bench.restart();
    await bench.finish();
    expect(readOfLong()).toBe(1024 + size);
    expect(bench.counted).toBe(size + 'before'.length + 'behind'.length + 3 * bytesPerFile);
    expect(damaged()).toEqual([]);
  });

  it('keeps nothing behind it from being read when it is changed again and again', async () => {
    let touched = 0;
    for (;;) {
      if (isIn(bench.at)) fs.utimesSync(bench.place(name), 1, (touched += 1));
      if (!(await bench.step())) break;
    }
    expect(touched).toBe(3);
    expect(bench.skipped).toBe(true);
    expect(bench.rotting.takeRead('current/z-behind')).toBe('behind'.length);
    expect(bench.found).toEqual([]);
    expect(bench.counted).toBe('before'.length + 'behind'.length + 2 * bytesPerFile);
  });

  it('counts as read when other content takes its place again and again', async () => {
    let replaced = 0;
    for (;;) {
      if (isIn(bench.at, 'files:long'))
        await bench.feed.send({ long: longContent('x'.repeat((replaced += 1)), size) });
      if (!(await bench.step())) break;
    }
    expect(replaced).toBeGreaterThanOrEqual(3);
    expect(bench.skipped).toBe(false);
    expect(bench.found).toEqual([]);
  });

  it.each([
    ['mode', () => fs.chmodSync(bench.place(name), 0o600)],
    ['number of links', () => fs.linkSync(bench.place(name), `${bench.directory}/snapshot`)],
  ])('is read on when only its %s is another one', async (_, change) => {
    await bench.stepInto('files:long', 1024);
    change();
    await bench.restart();
    await bench.finish();
    expect(readOfLong()).toBe(size);
    expect(damaged()).toEqual([]);
  });

  it('stays known as damaged when it is put back by hand and changed again and again', async () => {
    bench.rotting.rot.set(name, { wrongAt: [3] });
    await bench.finish();
    fs.writeFileSync(bench.place(name), long);
    bench.at = 'files';
    for (let touched = 1; ; touched += 1) {
      if (isIn(bench.at)) fs.utimesSync(bench.place(name), 1, touched);
      if (!(await bench.step())) break;
    }
    expect(damaged()).toEqual([['long', null, 'content']]);
    bench.rotting.rot.clear();
    bench.at = 'files';
    await bench.finish();
    expect(damaged()).toEqual([]);
  });

  it('is read from its beginning when another version of the program made the state of its hash', async () => {
    const half = await bench.stepInto('files:long', 1024);
    const state = Buffer.from(half.hash, 'base64');
    state.writeUInt8(state.readUInt8(0) ^ 1, 0);
    bench.at = inFile(half.in, { ...half, hash: state.toString('base64') });
    await bench.restart();
    await bench.finish();
    expect(readOfLong()).toBe(1024 + size);
    expect(damaged()).toEqual([]);
  });

  it('is passed over when it has expired meanwhile', async () => {
    await bench.feed.send({ long: 'short now' });
    await bench.stepInto('versions:1', 512);
    await bench.restart();
    await bench.store.expire(Date.now() + 1000 * 86_400_000, keptHistory([]));
    expect(bench.store.listVersions(parseTypedPath('long'))).toEqual([]);
    await bench.finish();
    expect(bench.found).toEqual([]);
  });
});

it('goes on in the middle of an older version as well', async () => {
  await bench.feed.send({ long: null });
  const file = `versions/${bench.store.listVersions(parseTypedPath('long'))[0]?.name}`;
  bench.rotting.rot.set(file, { wrongAt: [1999] });
  await bench.stepInto('versions:1', 1024);
  await bench.restart();
  await bench.stepInto('versions:1', 1024, 'content');
  await bench.restart();
  await bench.finish();
  expect(bench.rotting.takeRead(file)).toBe(2 * size);
  expect(damaged()).toEqual([['long', 1, 'content']]);
});

class Stopped extends Error {}

it('finds in stretches, with whatever stops, what reading in one go finds, and reads hardly more for it', async () => {
  const file = fc.record({
    size: fc.integer({ min: 0, max: 3 * smallLimits.longFile }),
    rot: fc.option(fc.nat(), { freq: 2 }),
  });
  const stops = fc.infiniteStream(fc.constantFrom('go on', 'go on', 'restart', 'stop within'));
  await fc.assert(
    fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 4 }), stops, async (files, stops) => {
      const bench = new LongScrubBench();
      const contents = files.map(({ size }, at) => [`${at}`, longContent('x'.repeat(at), size)] as const);
      await bench.begin(Object.fromEntries(contents));
      const rotten: string[] = [];
      for (const [at, { size, rot }] of files.entries()) {
        if (rot === null || size === 0) continue;
        bench.rotting.rot.set(`current/${at}`, { wrongAt: [rot % size] });
        rotten.push(`${at}`);
      }
      let readAgain = 0;
      for (let isOver = false; !isOver;) {
        const what: unknown = stops.next().value;
        if (what === 'restart') await bench.restart();
        if (what !== 'stop within') isOver = !(await bench.step());
        else {
          const before = total(bench.rotting.read);
          let calls = 0;
          const stop = async (): Promise<void> => {
            calls += 1;
            if (calls === 2) throw new Stopped();
          };
          try {
            isOver = !(await bench.step(stop));
          } catch (error) {
            if (!(error instanceof Stopped)) throw error;
            await bench.restart();
            readAgain += total(bench.rotting.read) - before;
          }
        }
      }
      const found = bench.store.scrub.damaged(null, 100);
      expect(found.map(({ path }) => path as string)).toEqual(rotten);
      const once = files.reduce((sum, { size }) => sum + size, 0);
      expect(bench.counted).toBe(once + files.length * bytesPerFile);
      const twice = rotten.reduce((sum, at) => sum + (files[Number(at)]?.size ?? 0), 0);
      expect(total(bench.rotting.read)).toBe(once + twice + readAgain);
      await bench.end();
    }),
    { numRuns: Number(process.env['MASTOKEEP_RUNS'] ?? 12) },
  );
});

function total(read: ReadonlyMap<string, number>): number {
  return [...read.values()].reduce((sum, bytes) => sum + bytes, 0);
}
