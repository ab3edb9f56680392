import fs from 'node:fs';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { FileAmount, GoneContents } from '../../receiver/guard/mass-change.ts';
import { FolderPast } from '../../receiver/store/folder-past.ts';
import { FeedFake, storeFixture } from '../support/store-fixture.ts';
import { removeDatabase } from '../support/store-harness.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const paths = ['a', 'b', 'c', 'd', 'e'];
const contents = ['', 'one', 'three', 'sixteen', 'another one'];
type Tree = ReadonlyMap<string, string>;
type Step = Record<string, string | null>;

/** Each step gives some paths a content, or takes it away (null). */
const anySteps = fc.array(
  fc.dictionary(fc.constantFrom(...paths), fc.option(fc.constantFrom(...contents)), { minKeys: 1 }),
  { minLength: 1, maxLength: 12 },
);

const amountOf = (files: readonly string[]): FileAmount => ({
  files: files.length,
  bytes: files.reduce((bytes, content) => bytes + content.length, 0),
});

function goneOf(before: Tree, after: Tree): GoneContents {
  const alive = new Set(after.values());
  const gone = [...before].filter(([, content]) => content !== '' && !alive.has(content));
  const [rewritten, deleted] = [
    gone.filter(([path]) => after.has(path)),
    gone.filter(([path]) => !after.has(path)),
  ];
  const contentsOf = (list: typeof gone): string[] => list.map(([, content]) => content);
  return { deleted: amountOf(contentsOf(deleted)), rewritten: amountOf(contentsOf(rewritten)) };
}

it('tells of any moment what was there, and what of it is nowhere any more, as a plain history does', async () => {
  await fc.assert(
    fc.asyncProperty(anySteps, fc.boolean(), async (steps: Step[], losesDatabase) => {
      const directory = memoryDirectory();
      let now = 1_800_000_000_000;
      const { open, databasePath } = storeFixture(directory, { now: () => now });
      let store = await open();
      const feed = new FeedFake(() => store);
      const trees: { at: number; tree: Tree }[] = [{ at: now - 1, tree: new Map() }];
      for (const step of steps) {
        now += 1000;
        const tree = new Map(trees.at(-1)?.tree);
        for (const [path, content] of Object.entries(step)) {
          if (content === null) tree.delete(path);
          else tree.set(path, content);
        }
        await feed.send({ ...step });
        trees.push({ at: now, tree });
      }
      if (losesDatabase) {
        await store.close();
        removeDatabase(databasePath);
        store = await open();
      }
      const last = trees.at(-1)?.tree ?? new Map<string, string>();
      for (const { at, tree } of trees) {
        expect(await store.past.goneSince(at)).toEqual(goneOf(tree, last));
        expect(await store.past.heldAt(at)).toEqual(
          amountOf([...tree.values()].filter((content) => content !== '')),
        );
      }
      await store.close();
      fs.rmSync(directory, { recursive: true });
    }),
    { numRuns: 60 },
  );
});

it('gives others a turn while it counts much, and counts everything once', async () => {
  const { open, databasePath } = storeFixture();
  await (await open()).close();
  const database = new Database(databasePath);
  const columns = 'path, kind, size, hash, index_id, sequence, received_at, begun';
  const numbers = (count: number): string =>
    `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${count - 1})`;
  const row = (hash: string, receivedAt: number): string =>
    `CAST('path' || i AS BLOB), 0, 10, CAST('${hash}' || i AS BLOB), x'01', 1, ${receivedAt}, 1`;
  database.exec(`
    ${numbers(12_000)} INSERT INTO versions (replaced_at, ended, ${columns}) SELECT 2000 + i / 7000, 1, ${row('old', 500)} FROM n;
    ${numbers(7000)} INSERT INTO live (named_in, ${columns}) SELECT x'01', ${row('new', 2500)} FROM n;`);
  const past = new FolderPast(database);
  let turns = 0;
  let isCounting = true;
  const count = (): void => {
    turns += 1;
    if (isCounting) setImmediate(count);
  };
  count();
  const amount = (files: number): FileAmount => ({ files, bytes: 10 * files });
  expect(await past.goneSince(1000)).toEqual({ deleted: amount(5000), rewritten: amount(7000) });
  expect(turns).toBeGreaterThan(2);
  expect([await past.heldAt(1000), await past.heldAt(2600)]).toEqual([amount(12_000), amount(7000)]);
  expect(await past.goneSince(2000)).toEqual({ deleted: amount(5000), rewritten: amount(0) });
  isCounting = false;
  database.close();
});
