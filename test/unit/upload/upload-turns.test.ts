import fc from 'fast-check';
import { expect, it } from 'vitest';
import { UploadTurns, type UploadTurn } from '../../../agent/upload/upload-turns.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';

const kib = 1024;
const mib = 1024 * kib;
const burstBytes = (rate: number): number => Math.max(32 * kib, (rate * kib) / 2);

type Sent = { receiver: DeviceId; atMs: number; bytes: number };
type Hungry = {
  receiver: DeviceId;
  /** What it wants each time, and of what it is granted how much it uses, as a share. */
  wants: readonly number[];
  uses: readonly number[];
};

const sendsMax = 3000;

/** Everybody always wants more; time passes to whenever something may go. Ends with the time or after some thousand pieces. */
function simulate(turns: UploadTurns, everybody: readonly Hungry[], untilMs: number): Sent[] {
  const sent: Sent[] = [];
  const open = new Map<UploadTurn, Hungry>();
  const asked = new Map<Hungry, number>();
  const ask = (one: Hungry, nowMs: number): void => {
    const count = asked.get(one) ?? 0;
    asked.set(one, count + 1);
    open.set(turns.ask(one.receiver, one.wants[count % one.wants.length] ?? 1, nowMs), one);
  };
  for (const one of everybody) ask(one, 0);
  for (let nowMs = 0; nowMs < untilMs && sent.length < sendsMax;) {
    const { turns: granted, againInMs } = turns.grant(nowMs);
    for (const turn of granted) {
      const one = open.get(turn);
      if (one === undefined || turn.granted === null) throw new Error('was not asked');
      open.delete(turn);
      expect(turn.granted).toBeGreaterThan(0);
      expect(turn.granted).toBeLessThanOrEqual(turn.bytes);
      const bytes = Math.ceil(turn.granted * (one.uses[(asked.get(one) ?? 0) % one.uses.length] ?? 1));
      turns.charge(one.receiver, bytes - turn.granted, nowMs);
      sent.push({ receiver: one.receiver, atMs: nowMs, bytes });
      ask(one, nowMs);
    }
    if (granted.length > 0) continue;
    if (againInMs === null) throw new Error('nobody is served, and nothing will change that');
    nowMs += Math.max(1, Math.ceil(againInMs));
  }
  return sent;
}

/** The most that went in any stretch of time beyond what the rate allows in it. */
function mostBeyond(sent: readonly Sent[], rate: number): number {
  let most = 0;
  for (let from = 0; from < sent.length; from++) {
    let bytes = 0;
    for (let to = from; to < sent.length; to++) {
      bytes += sent[to]?.bytes ?? 0;
      const elapsedMs = (sent[to]?.atMs ?? 0) - (sent[from]?.atMs ?? 0);
      most = Math.max(most, bytes - (elapsedMs / 1000) * rate * kib);
    }
  }
  return most;
}

const rate = fc.oneof(fc.integer({ min: 8, max: 200 }), fc.integer({ min: 200, max: 50_000 }));
const wants = fc.array(fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: mib })), {
  minLength: 1,
  maxLength: 5,
});
const uses = fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 1, maxLength: 3 });
const receivers = fc.array(fc.record({ own: fc.option(rate), wants, uses }), { minLength: 1, maxLength: 4 });

function world(total: number | null, all: readonly { own: number | null }[]) {
  const turns = new UploadTurns();
  const ids = all.map((_, at) => `R${at}` as DeviceId);
  turns.setRates({ total, ofReceiver: (id) => all[ids.indexOf(id)]?.own ?? null }, 0);
  return { turns, ids };
}

it('never lets more go than the rate allows and one burst, of all together and of each receiver', () => {
  fc.assert(
    fc.property(rate, receivers, (total, all) => {
      const { turns, ids } = world(total, all);
      // a receiver has two that want at once: records and content
      const everybody = [...all.entries(), ...all.entries()].map(([at, { wants, uses }]) => ({
        wants,
        uses,
        receiver: ids[at] as DeviceId,
      }));
      const sent = simulate(turns, everybody, 10_000).slice(0, 150);
      expect(mostBeyond(sent, total)).toBeLessThanOrEqual(burstBytes(total) + 1);
      for (const [at, { own }] of all.entries()) {
        const its = sent.filter(({ receiver }) => receiver === ids[at]);
        if (own !== null) expect(mostBeyond(its, own)).toBeLessThanOrEqual(burstBytes(own) + 1);
      }
    }),
    { numRuns: 60 },
  );
});

it('serves everybody, and uses what the limits allow', () => {
  fc.assert(
    fc.property(rate, receivers, (total, all) => {
      const { turns, ids } = world(total, all);
      const everybody = all.map((one, at) => ({ ...one, uses: [1], receiver: ids[at] as DeviceId }));
      const sent = simulate(turns, everybody, 60_000);
      const bytes = sent.reduce((sum, one) => sum + one.bytes, 0);
      const owns = all.map(({ own }) => own);
      const own = owns.includes(null) ? Infinity : owns.reduce<number>((sum, one) => sum + (one ?? 0), 0);
      const least = (Math.min(total, own) * kib * (sent.at(-1)?.atMs ?? 0)) / 1000;
      const saved = owns.reduce<number>((sum, one) => sum + (one === null ? 0 : burstBytes(one)), 0);
      // what still lies in the buckets, and timers of whole milliseconds
      expect(bytes).toBeGreaterThan(least * 0.95 - saved - burstBytes(total));
      // unless thousands of tiny pieces were over before a slow one could have a turn
      if (sent.length >= sendsMax) return;
      for (const receiver of ids)
        expect(sent.filter((one) => one.receiver === receiver).length).toBeGreaterThan(0);
    }),
    { numRuns: 30 },
  );
});

it('gives receivers that always want some the same, however much each of them asks for at a time', () => {
  fc.assert(
    fc.property(rate, fc.array(wants, { minLength: 2, maxLength: 4 }), (total, all) => {
      const { turns, ids } = world(
        total,
        all.map(() => ({ own: null })),
      );
      const everybody = all.map((one, at) => ({ wants: one, uses: [1], receiver: ids[at] as DeviceId }));
      const sums = new Map<DeviceId, number>(ids.map((id) => [id, 0]));
      for (const { receiver, bytes } of simulate(turns, everybody, 20_000)) {
        sums.set(receiver, (sums.get(receiver) ?? 0) + bytes);
        const values = [...sums.values()];
        expect(Math.max(...values) - Math.min(...values)).toBeLessThanOrEqual(2 * burstBytes(total));
      }
    }),
    { numRuns: 20 },
  );
});

it('does not let a receiver wait for the limit of another one', () => {
  const { turns, ids } = world(null, [{ own: 8 }, { own: 10_000 }]);
  const [slow, fast] = ids as [DeviceId, DeviceId];
  const everybody = [slow, fast].map((receiver) => ({ receiver, wants: [mib], uses: [1] }));
  const sent = simulate(turns, everybody, 10_000);
  const bytesOf = (receiver: DeviceId): number =>
    sent.filter((one) => one.receiver === receiver).reduce((sum, { bytes }) => sum + bytes, 0);
  expect(bytesOf(fast)).toBeGreaterThan(9 * 10_000 * kib);
  expect(bytesOf(slow)).toBeGreaterThan(0);
});

it('counts what went without a turn, and what was larger than granted', () => {
  const { turns, ids } = world(100, [{ own: null }]);
  const [only] = ids as [DeviceId];
  turns.charge(only, 200 * kib, 0);
  turns.ask(only, 10 * kib, 0);
  expect(turns.grant(0).turns).toEqual([]);
  expect(turns.grant(2000).turns).toEqual([]);
  expect(turns.grant(2100).turns).toHaveLength(1);
});

it('holds nobody up for what went while nothing was limited', () => {
  const { turns, ids } = world(null, [{ own: null }, { own: null }]);
  const [busy, other] = ids as [DeviceId, DeviceId];
  turns.charge(busy, 50 * mib, 0);
  turns.setRates({ total: 100, ofReceiver: () => null }, 0);
  const everybody = [busy, other].map((receiver) => ({ receiver, wants: [mib], uses: [1] }));
  const sent = simulate(turns, everybody, 10_000);
  const bytesOf = (receiver: DeviceId): number =>
    sent.filter((one) => one.receiver === receiver).reduce((sum, { bytes }) => sum + bytes, 0);
  expect(Math.abs(bytesOf(busy) - bytesOf(other))).toBeLessThanOrEqual(burstBytes(100));
});

it('saves up no more than a burst while nobody sends', () => {
  const { turns, ids } = world(100, [{ own: null }]);
  const [only] = ids as [DeviceId];
  let bytes = 0;
  for (;;) {
    turns.ask(only, mib, 3_600_000);
    const [turn] = turns.grant(3_600_000).turns;
    if (turn === undefined) break;
    bytes += turn.granted ?? 0;
  }
  expect(bytes).toBe(burstBytes(100));
});

it('lets a large piece of a receiver not be overtaken for ever by its small ones', () => {
  const { turns, ids } = world(null, [{ own: 8 }]);
  const [only] = ids as [DeviceId];
  const large = turns.ask(only, 16 * kib, 0);
  let small = turns.ask(only, 4 * kib, 0);
  for (let nowMs = 0; nowMs < 5000; nowMs += 100) {
    turns.grant(nowMs);
    if (small.granted !== null) small = turns.ask(only, 4 * kib, nowMs);
  }
  expect(large.granted).toBe(16 * kib);
});

it('gives a receiver that had a limit of its own no credit for the time of it', () => {
  const { turns, ids } = world(100, [{ own: 8 }, { own: null }]);
  const everybody = ids.map((receiver) => ({ receiver, wants: [mib], uses: [1] }));
  simulate(turns, everybody, 60_000);
  turns.setRates({ total: 100, ofReceiver: () => null }, 60_000);
  let own = 0;
  let other = 0;
  for (let nowMs = 60_000; nowMs < 70_000; nowMs += 10) {
    for (const turn of turns.grant(nowMs).turns) {
      if (turn.receiverId === ids[0]) own += turn.granted ?? 0;
      else other += turn.granted ?? 0;
      turns.ask(turn.receiverId, mib, nowMs);
    }
  }
  expect(Math.abs(own - other)).toBeLessThanOrEqual(2 * burstBytes(100));
});
