import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isBelow, parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { advanceHotSet, emptyHotSet, type HotSetEvent } from '../../agent/watch/hot-set.ts';
import { indexerDefaults } from '../../agent/watch/indexer.ts';

const directory = fc
  .array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 0, maxLength: 4 })
  .map((names) => names.join('/') as RelativePath);
const event: fc.Arbitrary<HotSetEvent> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('touched'),
      directories: fc.array(directory, { maxLength: 4 }),
    }),
  },
  fc.record({ type: fc.constant('vanished'), directory }),
  fc.record({ type: fc.constant('refused'), directories: fc.array(directory, { maxLength: 4 }) }),
  fc.record({ type: fc.constant('restored'), watchMax: fc.nat(12) }),
);

it('stays within its bounds, keeps ancestors longer than what is below them, and tells the watcher every difference', () => {
  const limits = fc.record({ sizeMax: fc.integer({ min: 1, max: 10 }), watchMax: fc.nat(12) });
  fc.assert(
    fc.property(limits, fc.array(event, { maxLength: 30 }), ({ sizeMax, watchMax }, events) => {
      let state = emptyHotSet(sizeMax, watchMax);
      const atWatcher = new Set<RelativePath>();
      for (const each of events) {
        if (each.type === 'refused') for (const path of each.directories) atWatcher.delete(path);
        const next = advanceHotSet(state, each);
        state = next.state;
        for (const path of next.actions.unwatch) expect(atWatcher.delete(path)).toBe(true);
        for (const path of next.actions.watch) expect(atWatcher.has(path)).toBe(false);
        for (const path of next.actions.watch) atWatcher.add(path);
        expect(atWatcher).toEqual(new Set(state.watched));
        expect(state.order.length).toBeLessThanOrEqual(state.sizeMax);
        expect(state.watched.size).toBeLessThanOrEqual(state.watchMax);
        const position = new Map(state.order.map((path, at) => [path, at]));
        for (const path of state.order) {
          const parent = parentPath(path);
          if (parent === null) continue;
          expect(position.get(parent)).toBeGreaterThan(position.get(path) ?? -1);
          if (state.watched.has(path)) expect(state.watched.has(parent)).toBe(true);
        }
      }
    }),
  );
});

it('drops the oldest first', () => {
  const paths = ['1/x', '2/x', '3/x'] as RelativePath[];
  const { state } = advanceHotSet(emptyHotSet(4, 3), { type: 'touched', directories: paths });
  expect(state.order).toEqual(['2', '3/x', '3', '']);
  expect([...state.watched].sort()).toEqual(['', '3', '3/x']);
});

it('holds 8,192 directories at the default settings, the newest ones, and watches the newest 2,048 of them', () => {
  const directories = Array.from({ length: 10_000 }, (_, number) => `${number}` as RelativePath);
  const { hotDirectoriesMax, watchLimit } = indexerDefaults;
  const { state, actions } = advanceHotSet(emptyHotSet(hotDirectoriesMax, watchLimit), {
    type: 'touched',
    directories,
  });
  expect(state.order).toEqual([...directories.slice(-8191), '']);
  expect(actions.watch).toEqual([...directories.slice(-2047), '']);
});

it('forgets everything below a directory that vanished', () => {
  const paths = ['a/b/c', 'a.b', 'd'] as RelativePath[];
  const before = advanceHotSet(emptyHotSet(100, 100), { type: 'touched', directories: paths }).state;
  const { state } = advanceHotSet(before, { type: 'vanished', directory: 'a' as RelativePath });
  expect(state.order.filter((path) => path === 'a' || isBelow(path, 'a' as RelativePath))).toEqual([]);
  expect(state.order).toContain('a.b');
});
