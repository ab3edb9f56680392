import { expect, it } from 'vitest';
import { dumpAndWait, type DumpedWithPins } from '../../../agent/dump-and-wait.ts';
import type { DumpResult } from '../../../agent/seal/dumper.ts';

const versions = ['database', 'secrets'].map((folder) => ({ folder }) as DumpResult);
const done = { versions, point: null };
const never = new AbortController().signal;
const longMs = 60_000;
const noCounts: Record<string, number[]> = {};

/** `copies`: what is counted of each folder, look by look; the last counts on. */
function waiting(
  options: { copies: number; timeoutMs: number; signal?: AbortSignal },
  { dump = Promise.resolve(done), counted = noCounts } = {},
): Promise<DumpedWithPins> {
  const copies = ({ folder }: DumpResult): number => {
    const counts = counted[folder] ?? [0];
    return (counts.length > 1 ? counts.shift() : counts[0]) ?? 0;
  };
  return dumpAndWait(
    {
      dump: () => dump,
      copies,
      pinAnswers: () => new Map(),
      connected: () => [],
      obstacles: () => ['no receiver is connected'],
      pollIntervalMs: 1,
    },
    { folder: null, pin: null, signal: never, ...options },
  );
}

it('resolves when every version has as many copies as are asked for, and not before', async () => {
  const counted = { database: [0, 1, 2, 2, 2], secrets: [2, 2, 1, 1, 2] };
  expect(await waiting({ copies: 2, timeoutMs: longMs }, { counted })).toMatchObject(done);
  expect(counted).toEqual({ database: [2], secrets: [2] });
});

it('waits for none where none is asked for', async () => {
  expect(await waiting({ copies: 0, timeoutMs: longMs })).toMatchObject(done);
});

it('says when its time is over how many copies there are, what is in the way, and keeps the version', async () => {
  const counted = { database: [2], secrets: [1] };
  await expect(waiting({ copies: 2, timeoutMs: 30 }, { counted })).rejects.toMatchObject({
    code: 'TIMED_OUT',
    exitCode: 4,
    message: expect.stringContaining('the version is made and durable on 1 of 2 receivers') as string,
    hint: expect.stringContaining('no receiver is connected') as string,
  });
});

it('says that the dump is still under way when its time is over before', async () => {
  const dump = new Promise<typeof done>(() => {});
  await expect(waiting({ copies: 1, timeoutMs: 30 }, { dump })).rejects.toMatchObject({
    code: 'TIMED_OUT',
    message: expect.stringContaining('still under way') as string,
  });
});

it('ends with the reason of who interrupts it, and with the failure of the dump', async () => {
  const interrupted = new AbortController();
  const reason = new Error('interrupted');
  const ended = waiting({ copies: 1, timeoutMs: longMs, signal: interrupted.signal });
  interrupted.abort(reason);
  await expect(ended).rejects.toBe(reason);
  const failure = new Error('the source failed');
  await expect(waiting({ copies: 1, timeoutMs: longMs }, { dump: Promise.reject(failure) })).rejects.toBe(
    failure,
  );
});
