import { expect, it } from 'vitest';
import type { VersionRetention } from '../../receiver/retention/version-retention.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { keptHistory, nothingKept } from '../support/kept-history.ts';
import {
  packObject,
  SealedFeedFake,
  sealedStoreFixture,
  versionObjects,
} from '../support/sealed-store-fixture.ts';
import { FeedFake, indexA, storeFixture } from '../support/store-fixture.ts';

const dayMs = 86_400_000;

it.each<VersionRetention>([
  { kind: 'points', floorDays: 1 },
  { kind: 'simple', keep: 0, cleanoutDays: 0, floorDays: 1 },
])(
  'lets nothing more of a mirror folder go once it is stopped, and everything later: $kind',
  async (retention) => {
    let now = 1_800_000_000_000;
    const { open } = storeFixture(undefined, { now: () => now }, { retention });
    const store = await open();
    const feed = new FeedFake(() => store);
    const keptNow = () => {
      const { sequence } = feed;
      const index = indexA.toString('hex');
      return keptHistory([{ id: 'media', kind: 'mirror', index, from: sequence, to: sequence }]);
    };
    const held = (): number[] => [
      store.listVersions(parseTypedPath('file')).length,
      store.gaps(null, 10).length,
    ];
    await feed.send({ file: 'one' }, ['lost']);
    await feed.send({ lost: 'came after all' });
    await store.expire(now, keptNow(), () => true);
    expect(held()).toEqual([0, 1]);
    await feed.send({ file: 'two' });
    const kept = keptNow();
    now += 10 * dayMs;
    expect(await store.expire(now, kept, () => true)).toEqual({ versions: 0, bytes: 0 });
    expect(held()).toEqual([1, 1]);
    expect(await store.expire(now, kept, () => false)).toEqual({ versions: 1, bytes: 3 });
    expect(held()).toEqual([0, 0]);
    await store.close();
  },
);

it('lets neither versions nor packs of a sealed folder go once it is stopped, and both later', async () => {
  let now = 1_800_000_000_000;
  const store = await sealedStoreFixture(undefined, { now: () => now }).open();
  const feed = new SealedFeedFake(() => store);
  const [root, next, unneeded] = [packObject('root'), packObject('next'), packObject('unneeded')];
  const first = versionObjects(1, [root]);
  const second = versionObjects(2, [next], { previous: first.hash });
  await feed.send([root, unneeded, first.json, first.signature]);
  await feed.send([next, second.json, second.signature]);
  now += 10 * dayMs;
  expect(await store.expire(now, nothingKept, () => true)).toMatchObject({ versions: 0, packs: 0 });
  expect(await store.expire(now, nothingKept, () => false)).toMatchObject({ versions: 1, packs: 2 });
  await store.close();
});
