import { expect, it } from 'vitest';
import { UploadLimiter } from '../../../agent/upload/upload-limiter.ts';
import type { UploadConfig, UploadPeriod } from '../../../agent/upload/upload-schedule.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';

const kib = 1024;
const mib = 1024 * kib;
const nas = 'NAS' as DeviceId;

/** A clock that stands until it is told; it calls what is due on the way. */
class Clock {
  nowMs = new Date(2026, 10, 21, 7, 59, 0).getTime();
  timers: { at: number; callback: () => void }[] = [];

  readonly deps = {
    now: (): number => this.nowMs,
    steadyNow: (): number => this.nowMs,
    after: (ms: number, callback: () => void): (() => void) => {
      const timer = { at: this.nowMs + ms, callback };
      this.timers.push(timer);
      return () => {
        this.timers = this.timers.filter((one) => one !== timer);
      };
    },
  };

  async pass(ms: number): Promise<void> {
    const end = this.nowMs + ms;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const [next] = this.timers.toSorted((a, b) => a.at - b.at);
      if (next === undefined || next.at > end) break;
      this.timers = this.timers.filter((one) => one !== next);
      this.nowMs = Math.max(this.nowMs, next.at);
      next.callback();
    }
    this.nowMs = end;
  }
}

function setUp(config: Partial<UploadConfig>) {
  const clock = new Clock();
  const limiter = new UploadLimiter(clock.deps, {
    total: null,
    perReceiver: null,
    receivers: [],
    schedule: [],
    ...config,
  });
  return { clock, limiter };
}

/** Claims and sends for ever; `bytes` is what went. */
function sendAlways(limiter: UploadLimiter, receiver: DeviceId) {
  const sender = { bytes: 0, ended: false, pace: limiter.pace(receiver) };
  void (async () => {
    while (!sender.ended) {
      const claimed = await sender.pace.claim(mib);
      if (sender.ended) return;
      sender.bytes += claimed;
      sender.pace.sent(claimed, claimed);
    }
  })();
  return sender;
}

const day: UploadPeriod = { from: 480, to: 540, total: 64, perReceiver: undefined, receivers: [] };

it('lets everything go at once where nothing is limited', async () => {
  const { limiter, clock } = setUp({ schedule: [day] });
  const pace = limiter.pace(nas);
  for (let sent = 0; sent < 100; sent++) expect(await pace.claim(mib)).toBe(mib);
  expect(clock.timers).toEqual([]);
});

it('keeps to the total over several receivers and links', async () => {
  const { limiter, clock } = setUp({ total: 64 });
  const all = ['A', 'B', 'C'].map((id) => sendAlways(limiter, id as DeviceId));
  await clock.pass(100_000);
  const bytes = all.reduce((sum, one) => sum + one.bytes, 0);
  expect(bytes).toBeLessThanOrEqual(64 * kib * 100 + 32 * kib);
  expect(bytes).toBeGreaterThan(64 * kib * 95);
  for (const one of all) one.ended = true;
});

it('begins and ends a period of the schedule at its minute, for links that wait already', async () => {
  const schedule = [day, { ...day, from: 540, to: 600, total: 640 }];
  const { limiter, clock } = setUp({ total: 8, schedule });
  const sender = sendAlways(limiter, nas);
  await clock.pass(60_000);
  expect(sender.bytes).toBeLessThanOrEqual(8 * kib * 60 + 32 * kib);
  expect(limiter.rates.total).toBe(64);
  const before = sender.bytes;
  await clock.pass(3_600_000);
  expect((sender.bytes - before) / (64 * kib * 3600)).toBeCloseTo(1, 2);
  const within = sender.bytes;
  await clock.pass(3_600_000);
  expect((sender.bytes - within) / (640 * kib * 3600)).toBeCloseTo(1, 2);
  expect(limiter.rates.period).toBe(null);
  sender.ended = true;
});

it('lets whoever waits go on when the limit ends', async () => {
  const { limiter, clock } = setUp({ total: 8, schedule: [{ ...day, total: null }] });
  const pace = limiter.pace(nas);
  pace.sent(0, 100 * mib);
  let granted = 0;
  void pace.claim(mib).then((bytes) => (granted = bytes));
  await clock.pass(59_000);
  expect(granted).toBe(0);
  await clock.pass(1500);
  expect(granted).toBe(mib);
});

it('gives at once to others what was claimed and did not go out', async () => {
  const { limiter, clock } = setUp({ total: 8 });
  await clock.pass(2000);
  const [first, second] = [limiter.pace(nas), limiter.pace('OTHER' as DeviceId)];
  expect(await first.claim(16 * kib)).toBe(16 * kib);
  let granted = 0;
  void second.claim(16 * kib).then((bytes) => (granted = bytes));
  await clock.pass(0);
  expect(granted).toBe(0);
  first.sent(16 * kib, 0);
  await clock.pass(0);
  expect(granted).toBe(16 * kib);
});

it('gives nothing back for what a link had claimed when it ended', async () => {
  const { limiter, clock } = setUp({ total: 8 });
  const gone = limiter.pace(nas);
  gone.sent(0, 80 * kib);
  void gone.claim(mib).then((bytes) => gone.sent(bytes, 0));
  await clock.pass(1000);
  gone.end();
  await clock.pass(0);
  const sender = sendAlways(limiter, nas);
  await clock.pass(5000);
  expect(sender.bytes).toBe(0);
  sender.ended = true;
  await clock.pass(60_000);
});

it('keeps nobody waiting whose link has ended, and gives its place to others', async () => {
  const { limiter, clock } = setUp({ total: 8 });
  const gone = limiter.pace(nas);
  gone.sent(0, 10 * kib * 8);
  let freed = 0;
  void gone.claim(mib).then((bytes) => (freed = bytes));
  await clock.pass(1000);
  expect(freed).toBe(0);
  gone.end();
  await clock.pass(0);
  expect(freed).toBe(mib);
  expect(clock.timers).toEqual([]);
  expect(await gone.claim(5)).toBe(5);
  const sender = sendAlways(limiter, nas);
  await clock.pass(20_000);
  expect(sender.bytes).toBeGreaterThanOrEqual(8 * kib * (21 - 10 - 2));
  expect(sender.bytes).toBeLessThanOrEqual(8 * kib * (21 - 10));
  sender.ended = true;
});
