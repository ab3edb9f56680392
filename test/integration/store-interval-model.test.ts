import fs from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { IntervalHistory, type HistoryIndex } from '../support/interval-history.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { sendHistory } from '../support/send-history.ts';
import { sha256, storeFixture } from '../support/store-fixture.ts';
import { removeDatabase } from '../support/store-harness.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const paths = ['a', 'b', 'd/c', 'd/e'];

type Command =
  | { do: 'change'; path: string; content: string | null }
  | { do: 'send'; limit: number; gone: string[] }
  | { do: 'complete' }
  | { do: 'renew'; keepsSequences: boolean }
  | { do: 'restart'; losingDatabase: boolean };

const path = fc.constantFrom(...paths);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('change' as const),
      path,
      content: fc.option(fc.constantFrom('one', 'two', 'three'), { freq: 3 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      limit: fc.constantFrom(1, 2, 9),
      gone: fc.subarray(paths, { maxLength: 1 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('complete' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('renew' as const), keepsSequences: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), losingDatabase: fc.boolean() }) },
);

const seed = process.env['MASTOKEEP_SEED'];

it('never says of an interval that it is all here when it is not, and says so when every state came', async () => {
  let proved = 0;
  let lacking = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 45, size: 'max' }), async (commands) => {
      const seen = await follow(commands);
      proved += seen.proved;
      lacking += seen.lacking;
    }),
    { numRuns: 40, ...(seed === undefined ? {} : { seed: Number(seed) }) },
  );
  // Whether anything was looked at all: a run finds 800 to 4,000 of the one and 300 to 1,700 of the other.
  expect(proved).toBeGreaterThan(200);
  expect(lacking).toBeGreaterThan(20);
});

async function follow(commands: readonly Command[]): Promise<{ proved: number; lacking: number }> {
  const directory = memoryDirectory();
  const { open, databasePath } = storeFixture(directory);
  const history = new IntervalHistory();
  let store = await open();
  try {
    for (const one of commands) {
      if (one.do === 'restart') {
        await store.close();
        if (one.losingDatabase) removeDatabase(databasePath);
        store = await open();
      } else await perform(store, history, one);
    }
    const seen = { proved: 0, lacking: 0 };
    for (const index of history.indexes) {
      const found = expectTruth(store, index, history.sequence + 3);
      seen.proved += found.proved;
      seen.lacking += found.lacking;
    }
    return seen;
  } finally {
    await store.close();
    fs.rmSync(directory, { recursive: true });
  }
}

async function perform(
  store: MirrorStore,
  history: IntervalHistory,
  one: Exclude<Command, { do: 'restart' }>,
): Promise<void> {
  switch (one.do) {
    case 'change':
      history.change(one.path, one.content);
      return;
    case 'send':
      await sendHistory([store], history, one);
      return;
    case 'renew':
      history.renew(one.keepsSequences);
      return;
    case 'complete': {
      const position = store.position();
      if (!history.isCaughtUp || position?.indexId.equals(history.index.id) !== true) return;
      await store.completeIndex(position);
      history.index.complete = true;
    }
  }
}

/** Every interval that ends behind the birth of the index: nobody makes a point before all that is alive was named. */
function expectTruth(
  store: MirrorStore,
  index: HistoryIndex,
  end: number,
): { proved: number; lacking: number } {
  const { id: indexId, settled, complete, bornAt } = index;
  const seen = { proved: 0, lacking: 0 };
  for (let to = bornAt; to <= end; to += 1) {
    for (let from = 0; from <= to; from += 1) {
      const evidence = store.evidence({ indexId, from, to });
      expect(evidence.reached).toBe(complete && settled !== null && settled >= to);
      if (!evidence.reached) continue;
      expect(evidence.intact).toBe(true);
      const lacking = store.lackingBetween({ indexId, from, to }, null, 100) as string[];
      expect(evidence.lacking).toEqual({ count: lacking.length, paths: lacking });
      const oneByOne = lacking.flatMap((_, at) =>
        store.lackingBetween({ indexId, from, to }, (lacking[at - 1] ?? null) as RelativePath | null, 1),
      );
      expect(oneByOne).toEqual(lacking);
      const held = new Map<string, string>();
      for (const { path, state } of store.contentBetween({ indexId, from, to }, null, 100).entries) {
        expect(held.has(path)).toBe(false);
        held.set(path, state.kind === 'file' ? state.hash.toString('hex') : state.kind);
      }
      for (const path of paths) {
        const events = index.events.get(path) ?? [];
        const content = IntervalHistory.contentOf(events, from, to);
        const story = `${path} in ${from}..${to}`;
        if (lacking.includes(path)) {
          expect(
            events.some(({ delivered }) => !delivered),
            `${story} is here`,
          ).toBe(true);
          const last = events.findLastIndex(({ sequence }) => sequence <= to);
          const isKnown = [last, last + 1].every((at) => events[at]?.delivered ?? at === events.length);
          expect(isKnown && events[last]?.content !== null, `${story} is known`).toBe(false);
          seen.lacking += 1;
        } else {
          const isNamedLater = (events[0]?.sequence ?? 0) > to;
          // what the index before had, and this one names later with the same content, counts as there all along
          const wanted = content ?? (isNamedLater && held.has(path) ? (events[0]?.content ?? null) : null);
          expect(held.get(path), story).toBe(wanted === null ? undefined : sha256(wanted).toString('hex'));
          seen.proved += 1;
        }
      }
    }
  }
  return seen;
}
