import { expect, it } from 'vitest';
import {
  acceptanceOf,
  judgedFrom,
  notFrozen,
  released,
  withHit,
  type GuardHit,
} from '../../../../receiver/guard/freeze-state.ts';

function hit(changes: Partial<GuardHit> = {}): GuardHit {
  const since = '2026-11-21T10:00:00.000Z';
  return { folder: 'media', code: 'MASS_CHANGE', since, from: 100, what: 'first', ...changes };
}

const accept = () => ({ at: 500, keyIds: null });

it('keeps the beginning of a hit that comes again, with what is known of it now', () => {
  const state = withHit(
    withHit(notFrozen, hit()),
    hit({ since: '2026-11-22T10:00:00.000Z', from: 200, what: 'more' }),
  );
  expect(state.hits).toEqual([hit({ what: 'more' })]);
});

it('keeps hits of other folders and of other guards beside it', () => {
  const state = [hit(), hit({ folder: 'other' }), hit({ code: 'DUMP_SHRUNK' })].reduce(withHit, notFrozen);
  expect(state.hits).toHaveLength(3);
});

it('judges from the window on, from what was accepted in it, or from where an open hit began', () => {
  const about = { folder: 'media', code: 'MASS_CHANGE' } as const;
  expect(judgedFrom(notFrozen, about, 300)).toBe(300);
  const open = withHit(notFrozen, hit());
  expect(judgedFrom(open, about, 300)).toBe(100);
  const over = released(open, 'now', accept);
  expect(judgedFrom(over, about, 300)).toBe(500);
  expect(judgedFrom(over, about, 700)).toBe(700);
  expect(judgedFrom(over, { ...about, folder: 'other' }, 300)).toBe(300);
  expect(judgedFrom(over, { ...about, code: 'DUMP_SHRUNK' }, 300)).toBe(300);
});

it('releases everything, writes down what, and only the last hundred times', () => {
  const state = released(
    [hit(), hit({ folder: null, code: 'FREEZE_UNKNOWN' })].reduce(withHit, notFrozen),
    'then',
    accept,
  );
  expect(state.hits).toEqual([]);
  expect(state.releases).toEqual([
    { at: 'then', hits: [hit(), hit({ folder: null, code: 'FREEZE_UNKNOWN' })] },
  ]);
  expect(state.accepted).toEqual([{ folder: 'media', code: 'MASS_CHANGE', at: 500, keyIds: null }]);
  expect(released(state, 'later', accept)).toBe(state);
  let many = state;
  for (let at = 0; at < 150; at += 1)
    many = released(withHit(many, hit()), `${at}`, () => ({ at, keyIds: null }));
  expect(many.releases).toHaveLength(100);
  expect(many.releases.at(-1)?.at).toBe('149');
  expect(many.accepted).toHaveLength(1);
  expect(acceptanceOf(many, 'media', 'MASS_CHANGE')?.at).toBe(149);
});
