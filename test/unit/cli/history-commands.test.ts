import { expect, it } from 'vitest';
import { describeDone, describePlan } from '../../../receiver/cli/forget-command.ts';
import { describeUnpinned } from '../../../receiver/cli/points-command.ts';
import { describeRelease, releaseExitCode } from '../../../receiver/cli/release-command.ts';
import { describeSucceeded } from '../../../receiver/cli/succeed-command.ts';
import type { ForgetListing } from '../../../receiver/receiver-commands.ts';
import { PointSigner } from '../../support/point-fixture.ts';

const [first, second] = [new PointSigner().agent, new PointSigner().agent];
const points = [1, 2].map((number) => ({
  id: `20261121-14000${number}-0123456${number}`,
  agent: first,
  at: '2026-11-21T14:00:00.000Z',
}));
const agent = { agent: first, left: 5, leftComplete: 4, waitsFor: null };
const listing: ForgetListing = { points, versions: 3, bytes: 4096, agents: [agent] };

it('forget says what would go with which points, and warns where no complete one would be left', () => {
  expect(describePlan(listing)).toEqual([
    '  20261121-140001-01234561  begun 2026-11-21T14:00:00.000Z',
    '  20261121-140002-01234562  begun 2026-11-21T14:00:00.000Z',
    'what nothing else needs goes with them: 3 versions, 4 KiB',
  ]);
  const warned = (left: number, leftComplete: number): string | undefined =>
    describePlan({ ...listing, agents: [agent, { ...agent, left, leftComplete }] })[3];
  expect(warned(0, 0)).toBe(
    'no restore point is left then: only what is there now can be restored, and what is kept by age',
  );
  expect(warned(2, 0)).toBe('no complete restore point is left then, only incomplete ones');
  const one = { ...listing, points: points.slice(1), versions: 1 };
  expect(describePlan(one)[1]).toBe('what nothing else needs goes with it: 1 version, 4 KiB');
});

it('forget says what went, and what the rest waits for', () => {
  const went = '2 restore points are forgotten; removed what nothing else needs: 3 versions, 4 KiB';
  expect(describeDone(listing)).toEqual([went]);
  const agents = [agent, { ...agent, waitsFor: 'the end of a restore that reads it' }];
  expect(describeDone({ ...listing, agents })).toEqual([
    went,
    'the rest waits for the end of a restore that reads it; it is tried again every ten minutes while the receiver runs, and "status" tells until it is gone',
  ]);
});

it('release names what it released, and says of an agent that is not frozen that it is not', () => {
  const name = first.slice(0, 7);
  const released = [
    { folder: 'media', code: 'MASS_CHANGE' as const, since: '2026-11-21T10:00:00.000Z', message: 'gone' },
  ];
  expect(describeRelease({ agent: first, released, frozen: false })).toBe(
    `what is due of agent ${name} expires again; released:\n  MASS_CHANGE: gone`,
  );
  expect([false, true].map((frozen) => releaseExitCode({ frozen }))).toEqual([0, 3]);
  expect(describeRelease({ agent: first, released: [], frozen: false })).toBe(`agent ${name} is not frozen`);
  expect(describeRelease({ agent: null, released: [], frozen: false })).toBe('no agent is frozen');
  const stays = `agent ${name} stays frozen, because what came of it cannot be judged`;
  expect(describeRelease({ agent: first, released: [], frozen: true })).toContain(stays);
  const still = describeRelease({ agent: first, released, frozen: true });
  expect([still.startsWith(stays), still.endsWith('released:\n  MASS_CHANGE: gone')]).toEqual([true, true]);
});

it('succeed says who goes on with whose folders, whether it did before, and what to do next', () => {
  const done = { old: first, new: second, folders: ['database', 'media'], already: false };
  const next = `${first} can no longer connect here; if the new one is not paired yet: mastokeep-receiver join INVITATION`;
  expect(describeSucceeded(done)).toEqual([
    `device ${second} goes on with the data of ${first}: database, media`,
    next,
  ]);
  expect(describeSucceeded({ ...done, already: true })).toEqual([
    `device ${second} goes on with the data of ${first} already: database, media`,
    next,
  ]);
});

it('unpin says whether there was a pin', () => {
  expect(describeUnpinned({ id: 'P', wasPinned: true })).toBe('restore point P is no longer pinned');
  expect(describeUnpinned({ id: 'P', wasPinned: false })).toBe('restore point P had no pin');
});
