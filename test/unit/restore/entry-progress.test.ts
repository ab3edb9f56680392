import { expect, it } from 'vitest';
import { EntryProgress } from '../../../agent/restore/entry-progress.ts';

function follow(total: number) {
  const notes: string[] = [];
  const clock = { ms: 0 };
  const progress = new EntryProgress({ note: (line) => void notes.push(line), now: () => clock.ms }, total);
  const take = (...lines: string[]): void => lines.forEach((line) => progress.take(`pg_restore: ${line}`));
  return { notes, clock, progress, take };
}

it('times each entry of several at once by its own end, whatever the workers say between', () => {
  const { notes, clock, take } = follow(5);
  take('processing item 214 TABLE a', 'creating TABLE "public.a"', 'entering main parallel loop');
  take('launching item 1 TABLE DATA a', 'launching item 2 TABLE DATA b');
  clock.ms = 5000;
  take('processing data for table "public.b"', 'finished item 2 TABLE DATA b');
  take('launching item 3 INDEX b_index', 'creating INDEX "public.b_index"');
  clock.ms = 90_000;
  take('finished item 3 INDEX b_index', 'finished item 1 TABLE DATA a');
  take('launching item 4 FK CONSTRAINT b b_a_fkey', 'creating FK CONSTRAINT "public.b b_a_fkey"');
  clock.ms = 2_490_000;
  take('finished item 4 FK CONSTRAINT b b_a_fkey', 'finished main parallel loop');
  expect(notes).toEqual([
    '[2/5] TABLE DATA b, 5 seconds',
    '[3/5] INDEX b_index, 85 seconds',
    '[4/5] TABLE DATA a, 2 minutes',
    expect.stringMatching(/^foreign keys .* long quiet phase is normal/) as string,
    '[5/5] FK CONSTRAINT b b_a_fkey, 40 minutes',
  ]);
});

it('with one connection, each entry ends where the next begins', () => {
  const { notes, clock, take } = follow(5);
  take('creating TABLE "public.a"', 'processing data for table "public.a"');
  clock.ms = 3000;
  take('executing SEQUENCE SET a_id_seq', 'creating CONSTRAINT "public.a a_pkey"');
  clock.ms = 4000;
  take('creating FK CONSTRAINT "public.b b_a_fkey"');
  expect(notes).toEqual([
    '[2/5] TABLE DATA "public.a", 3 seconds',
    '[4/5] CONSTRAINT "public.a a_pkey", 1 second',
    expect.stringContaining('foreign keys are being checked') as string,
  ]);
});

it('says again what goes on after a minute without a word', () => {
  const { notes, clock, progress, take } = follow(2);
  take('entering main parallel loop', 'launching item 1 TABLE DATA statuses');
  clock.ms = 59_000;
  progress.remind();
  expect(notes).toEqual([]);
  clock.ms = 61_000;
  progress.remind();
  progress.remind();
  expect(notes).toEqual(['still at TABLE DATA statuses, for 61 seconds']);
});
