import fs from 'node:fs';
import { expect, it } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { dyingDisk } from '../support/faulty-disk.ts';
import { scrubPass, subjectOf } from '../support/scrub-store.ts';
import { FeedFake, readTree, storeFixture } from '../support/store-fixture.ts';
import { expectNothingLeftIncoming, expectRebuildToMatch } from '../support/store-harness.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

/** The receiver ends at the n-th change on the disk while it notes and repairs damage; the next one goes on. */
async function survives(changes: number): Promise<'died' | 'lived'> {
  const directory = memoryDirectory();
  const dying = dyingDisk(nodeDisk);
  const failing = storeFixture(directory, { disk: dying.disk });
  const healthy = storeFixture(directory);
  const { root } = healthy;
  let store: MirrorStore = await failing.open();
  const feed = new FeedFake(() => store);
  await feed.send({ 'd/a': 'first a', b: 'only b', same: 'twice', 'd/same': 'twice' });
  await feed.send({ 'd/a': 'second a' });
  const version = `${root}/versions/${store.listVersions(parseTypedPath('d/a'))[0]?.name}`;
  fs.writeFileSync(`${root}/current/b`, 'onlY b');
  fs.writeFileSync(`${root}/current/same`, 'twicE');
  fs.writeFileSync(version, 'firsT a');
  const fetchAgain = async (records: readonly FileRecord[]): Promise<boolean> => {
    for (const { path, state } of records)
      if (path === 'b' && state.kind === 'file') store.stage(state.hash, Buffer.from('only b'));
    return true;
  };
  dying.dieAfter(changes);
  let outcome: 'died' | 'lived' = 'lived';
  try {
    await scrubPass(() => store, { fetchAgain });
    await subjectOf(store, { fetchAgain }).repair(async () => {});
  } catch {
    outcome = 'died';
  }
  dying.revive();
  await store.close();
  store = await healthy.open();
  await scrubPass(() => store, { fetchAgain });
  await subjectOf(store, { fetchAgain }).repair(async () => {});
  const story = `after ${changes} changes`;
  expect(fs.readFileSync(`${root}/current/b`, 'utf8'), story).toBe('only b');
  expect(fs.readFileSync(`${root}/current/same`, 'utf8'), story).toBe('twice');
  const damaged = store.scrub.damaged(null, 10);
  expect(damaged, story).toMatchObject([{ path: 'd/a', id: 1 }]);
  expect([...readTree(`${root}/damaged`).keys()], story).toEqual(damaged.map(({ aside }) => aside));
  expect([...readTree(`${root}/damaged`).values()].map(String), story).toEqual(['firsT a']);
  await store.close();
  expectNothingLeftIncoming(root);
  await expectRebuildToMatch(healthy, [
    'live ORDER BY path',
    'versions ORDER BY id',
    'damaged ORDER BY path, id',
  ]);
  fs.rmSync(directory, { recursive: true });
  return outcome;
}

it('loses nothing and repairs the rest when the receiver dies at any change on the disk of a scrub', async () => {
  for (let changes = 0; ; changes += 1) if ((await survives(changes)) === 'lived') return;
});
