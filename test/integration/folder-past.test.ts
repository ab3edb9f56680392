import fs from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { FileAmount, GoneContents } from '../../receiver/guard/mass-change.ts';
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
        expect(store.past.goneSince(at)).toEqual(goneOf(tree, last));
        expect(store.past.heldAt(at)).toEqual(
          amountOf([...tree.values()].filter((content) => content !== '')),
        );
      }
      await store.close();
      fs.rmSync(directory, { recursive: true });
    }),
    { numRuns: 60 },
  );
});
