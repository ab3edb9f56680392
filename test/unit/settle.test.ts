import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { SettleQueue } from '../../agent/watch/settle-queue.ts';
import { settle } from '../../agent/watch/settle.ts';

const nowMs = 1_800_000_000_000;
const ago = (ms: number) => BigInt(nowMs - ms) * 1_000_000n + 1n;
const look = { size: 1000, mtimeNs: ago(10_000), ctimeNs: ago(10_000), nowMs, stillForMs: 0 };
const mebibyte = 1024 * 1024;

it.each([
  ['an old file at once', look, true],
  ['a small file after 300 ms', { ...look, ctimeNs: ago(302) }, true],
  ['a small file not before', { ...look, ctimeNs: ago(299) }, false],
  ['a file of exactly 1 MiB like a small one', { ...look, size: mebibyte, ctimeNs: ago(302) }, true],
  ['a large file not after 300 ms', { ...look, size: mebibyte + 1, ctimeNs: ago(1999) }, false],
  ['a large file after 2 s', { ...look, size: mebibyte + 1, ctimeNs: ago(2002) }, true],
  ['a file with an old mtime and a new ctime not yet', { ...look, ctimeNs: ago(0) }, false],
  ['a file with a new mtime and an old ctime not yet', { ...look, mtimeNs: ago(0) }, false],
  ['a file from the future not at the first look', { ...look, mtimeNs: ago(-86_400_000) }, false],
  [
    'a file from the future when it was seen still',
    { ...look, mtimeNs: ago(-86_400_000), stillForMs: 300 },
    true,
  ],
  ['whole seconds not after 300 ms', { ...look, ctimeNs: BigInt(nowMs - 1000) * 1_000_000n }, false],
  ['only mtime where ctime is not trusted', { ...look, ctimeNs: null }, true],
])('reads %s', (_, given, ready) => {
  expect(settle(given).ready).toBe(ready);
});

it('is ready when it is looked at again at the time it named', () => {
  fc.assert(
    fc.property(fc.integer({ min: -5000, max: 3000 }), fc.nat(3 * mebibyte), (ageMs, size) => {
      const first = settle({ ...look, size, ctimeNs: ago(ageMs) });
      if (first.ready) return;
      expect(first.lookAgainInMs).toBeGreaterThan(0);
      expect(first.lookAgainInMs).toBeLessThanOrEqual(2001);
      const later = {
        ...look,
        size,
        ctimeNs: ago(ageMs),
        nowMs: nowMs + first.lookAgainInMs,
        stillForMs: first.lookAgainInMs,
      };
      expect(settle(later).ready).toBe(true);
    }),
  );
});

it('counts stillness on while the signature stays, and is not put off by looks in between', () => {
  const queue = new SettleQueue();
  const path = 'a' as RelativePath;
  queue.add(path, 'one', 300, 1000);
  queue.add(path, 'one', 300, 1200);
  expect(queue.takeDue(1290)).toBeNull();
  expect(queue.takeDue(1310)).toBe(path);
  expect(queue.stillForMs(path, 'one', 1310)).toBe(310);
  expect(queue.stillForMs(path, 'two', 1310)).toBe(0);
  queue.add(path, 'two', 300, 1310);
  expect(queue.resolve(path)).toBe(false);
  expect(queue.takeDue(1400)).toBeNull();
  expect(queue.takeDue(1620)).toBe(path);
  expect(queue.resolve(path)).toBe(true);
  expect(queue.size).toBe(0);
  expect(queue.nextDueMs()).toBeNull();
});
