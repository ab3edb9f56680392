import fs from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { PointPart } from '../../receiver/points/folder-evidence.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { keptHistory } from '../support/kept-history.ts';
import { FeedFake, indexA, storeFixture } from '../support/store-fixture.ts';
import { removeDatabase } from '../support/store-harness.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const paths = ['a', 'b', 'c'];
const change = fc.record({
  path: fc.constantFrom(...paths),
  content: fc.option(fc.constantFrom('one', 'two', 'three')),
});
const interval = fc.record({ from: fc.nat(16), length: fc.nat(4), forgotten: fc.boolean() });

const partOf = ({ from, length }: { from: number; length: number }): PointPart => {
  return { id: 'media', kind: 'mirror', index: indexA.toString('hex'), from, to: from + length };
};

/** Of what a point has, the contents by path and begin. */
function contentOf(store: MirrorStore, part: PointPart): string[] {
  if (part.kind !== 'mirror') return [];
  const { entries } = store.contentBetween({ indexId: indexA, from: part.from, to: part.to }, null, 100);
  return entries.map(({ path, begun }) => `${path} ${begun}`);
}

const versionsOf = (store: MirrorStore): string[] =>
  paths
    .flatMap((path) => store.listVersions(path as RelativePath).map(({ begun }) => `${path} ${begun}`))
    .sort();

it('removes exactly the versions that forgotten points have and no kept one, of any age, whatever the history', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { minLength: 1, maxLength: 16 }),
      fc.array(interval, { minLength: 1, maxLength: 6 }),
      async (changes, intervals) => {
        const directory = memoryDirectory();
        const { open, root, databasePath } = storeFixture(
          directory,
          {},
          { retention: { kind: 'points', floorDays: 7 } },
        );
        let store = await open();
        const feed = new FeedFake(() => store);
        for (const { path, content } of changes) await feed.send({ [path]: content });
        await feed.complete();
        const forgotten = intervals.filter((one) => one.forgotten).map(partOf);
        const kept = intervals.filter((one) => !one.forgotten).map(partOf);
        const still = kept.map((part) => contentOf(store, part));
        const needed = new Set(still.flat());
        const going = new Set(
          forgotten.flatMap((part) => contentOf(store, part)).filter((one) => !needed.has(one)),
        );
        const remaining = versionsOf(store).filter((one) => !going.has(one));
        const history = { ...keptHistory(kept), floorDays: 7 };
        const planned = store.forgettable(Date.now(), forgotten, history);
        expect(await store.forget(Date.now(), forgotten, history)).toEqual(planned);
        expect(versionsOf(store)).toEqual(remaining);
        await store.close();
        removeDatabase(databasePath);
        store = await open();
        expect(versionsOf(store)).toEqual(remaining);
        expect(kept.map((part) => contentOf(store, part))).toEqual(still);
        const files = fs.readdirSync(`${root}/versions`);
        expect(files).toHaveLength(paths.flatMap((path) => store.listVersions(path as RelativePath)).length);
        await store.close();
        fs.rmSync(directory, { recursive: true });
      },
    ),
    { numRuns: 40 },
  );
});

it('lets no point count on what is going, from the moment on that it is known', async () => {
  const store = await storeFixture(undefined, {}, { retention: { kind: 'points', floorDays: 7 } }).open();
  const feed = new FeedFake(() => store);
  for (const a of ['one', 'two', 'three', 'one']) await feed.send({ a });
  await feed.complete();
  const at = (from: number): PointPart => partOf({ from, length: 0 });
  const going = store.forget(Date.now(), [at(1), at(3)], keptHistory([at(2), at(4)]));
  expect([store.hasForgotten(at(3)), store.hasForgotten(at(4))]).toEqual([true, false]);
  expect(await going).toMatchObject({ versions: 2 });
  expect(versionsOf(store)).toHaveLength(1);
  await store.close();
});
