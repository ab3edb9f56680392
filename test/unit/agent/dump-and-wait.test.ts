import { expect, it } from 'vitest';
import { dumpAndWait, type DumpedWithPins } from '../../../agent/dump-and-wait.ts';

type Answers = ReadonlyMap<string, string | null>;

/** `looks`: what is known at each look; the last one stays. */
function dump(
  looks: Answers[],
  { pin = 'kept', timeoutMs = 60_000 }: { pin?: string | null; timeoutMs?: number } = {},
): Promise<DumpedWithPins> {
  let looked = 0;
  return dumpAndWait(
    {
      dump: async () => ({ versions: [], point: pin === null ? null : '20261121-140000-0123abcd' }),
      copies: () => 0,
      pinAnswers: () => looks[Math.min(looked++, looks.length - 1)] ?? new Map(),
      connected: () => ['nas', 'vps'],
      obstacles: () => [],
      pollIntervalMs: 1,
    },
    { folder: null, pin, copies: 0, timeoutMs, signal: new AbortController().signal },
  );
}

const nas = { receiver: 'nas', granted: true, code: null };

it('waits until every connected receiver has answered for the pin, and tells what each said', async () => {
  const half = new Map([['nas', null]]);
  const { pins } = await dump([new Map(), half, half, new Map([...half, ['vps', 'PINS_LIMITED']])]);
  expect(pins).toEqual([nas, { receiver: 'vps', granted: false, code: 'PINS_LIMITED' }]);
});

it('does not wait for ever for an answer', async () => {
  const { pins } = await dump([new Map([['nas', null]])], { timeoutMs: 20 });
  expect(pins).toEqual([nas, { receiver: 'vps', granted: null, code: null }]);
});

it('asks nobody about a dump without a pin', async () => {
  expect((await dump([new Map([['nas', 'PINS_LIMITED']])], { pin: null })).pins).toEqual([]);
});
