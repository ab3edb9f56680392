import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  beginPass,
  bytesPerSecond,
  defaultScrubOptions,
  dueInMs,
  endPass,
  isLate,
  resumePass,
  type ScrubOptions,
  type ScrubState,
} from '../../../../receiver/scrub/scrub-state.ts';

const dayMs = 86_400_000;
const mebibyte = 1024 * 1024;
const time = fc.integer({ min: 0, max: 4_000_000_000_000 });
const options: fc.Arbitrary<ScrubOptions> = fc.record({
  periodMs: fc.integer({ min: dayMs, max: 100 * dayMs }),
  bytesPerSecondMax: fc.integer({ min: mebibyte, max: 1000 * mebibyte }),
});

it('reads 2 TB within 30 days at less than a MiB a second, so that a disk that gives 30 MB has time for others', () => {
  const rate = bytesPerSecond(beginPass(null, 0), 2e12, 0, defaultScrubOptions);
  expect(rate / mebibyte).toBeLessThan(1.01);
  expect((2e12 / rate) * 1000).toBeLessThan(30 * dayMs);
});

it('reads a pass through within the period at whatever speed it is asked for, up to what is allowed', () => {
  fc.assert(
    fc.property(options, fc.integer({ min: 0, max: 1e14 }), (options, wholeBytes) => {
      const state: ScrubState = beginPass(null, 0);
      let now = 0;
      const stepMs = options.periodMs / 500;
      while (state.readBytes < wholeBytes && now < options.periodMs) {
        const rate = bytesPerSecond(state, wholeBytes, now, options);
        expect(rate).toBeLessThanOrEqual(options.bytesPerSecondMax);
        state.readBytes += Math.ceil((rate * stepMs) / 1000);
        now += stepMs;
      }
      const isTooMuch = wholeBytes > (options.bytesPerSecondMax * options.periodMs * 0.9) / 1000;
      if (!isTooMuch) expect(state.readBytes).toBeGreaterThanOrEqual(wholeBytes);
    }),
  );
});

it('catches up after a time without power', () => {
  const state = { ...beginPass(null, 0), readBytes: 1e11 };
  const atOnce = bytesPerSecond(state, 2e12, 3 * dayMs, defaultScrubOptions);
  expect(bytesPerSecond(state, 2e12, 20 * dayMs, defaultScrubOptions)).toBeGreaterThan(2 * atOnce);
});

it('begins each pass early enough that nothing is left unread for longer than the period', () => {
  fc.assert(
    fc.property(options, time, (options, startedAt) => {
      const done = endPass(beginPass(null, startedAt));
      const waitMs = dueInMs(done, startedAt, options);
      expect(waitMs).toBeLessThan(options.periodMs);
      expect(dueInMs(done, startedAt + waitMs, options)).toBe(0);
      expect(dueInMs(beginPass(done, startedAt), startedAt, options)).toBe(0);
    }),
  );
});

it('counts as covered since the beginning of the last whole pass, and not by one that skipped something', () => {
  const first = endPass(beginPass(null, 100));
  expect(first.coveredAt).toBe(100);
  const second = beginPass(first, 200);
  expect(second.coveredAt).toBe(100);
  expect(endPass({ ...second, skipped: true }).coveredAt).toBe(100);
  expect(endPass(second).coveredAt).toBe(200);
});

it('is late when something was not read for two periods, also where no pass ever ended', () => {
  const { periodMs } = defaultScrubOptions;
  const never = beginPass(null, 0);
  expect(isLate(never, 2 * periodMs, defaultScrubOptions)).toBe(false);
  expect(isLate(never, 2 * periodMs + 1, defaultScrubOptions)).toBe(true);
  const covered = beginPass(endPass(beginPass(null, periodMs)), 2 * periodMs);
  expect(isLate(covered, 3 * periodMs, defaultScrubOptions)).toBe(false);
  expect(isLate(covered, 3 * periodMs + 1, defaultScrubOptions)).toBe(true);
});

it('never says that something was read in the future', () => {
  fc.assert(
    fc.property(time, time, (startedAt, now) => {
      const state = resumePass(beginPass(endPass(beginPass(null, startedAt)), startedAt + 5), now);
      expect(Math.max(state.startedAt, state.firstAt, state.coveredAt ?? 0)).toBeLessThanOrEqual(now);
    }),
  );
});
