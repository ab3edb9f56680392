import { expect, it } from 'vitest';
import { processLimitDefaults } from '../../../agent/source/source-process.ts';
import { SpoolBound, spoolBoundDefaults, type SpoolPart } from '../../../agent/seal/spool-bound.ts';

const gib = 1024 ** 3;
const never = new AbortController().signal;

function part(bytes: { spool: number; free: number }, onSettle: () => void = () => {}): SpoolPart {
  return {
    spoolBytes: () => bytes.spool,
    settle: onSettle,
    share: () => ({ objects: [], receivers: [] }),
    evict: () => {},
    freeBytes: () => bytes.free,
  };
}

it('is 10 GiB where nothing else is said, or a fifth of what the disk has for the spool where that is less', () => {
  const disk = { spool: 0, free: 500 * gib };
  const bound = new SpoolBound(() => 0, spoolBoundDefaults);
  bound.add(part(disk));
  expect(bound.bytesMax()).toBe(10 * gib);
  disk.free = 20 * gib;
  expect(bound.bytesMax()).toBe(4 * gib);
  // what is in the spool already is the disk's to give as well
  Object.assign(disk, { spool: 4 * gib, free: 16 * gib });
  expect(bound.bytesMax()).toBe(4 * gib);
  const chosen = new SpoolBound(() => 0, { ...spoolBoundDefaults, bytesMax: 123 });
  chosen.add(part(disk));
  expect(chosen.bytesMax()).toBe(123);
});

it('lets a dump wait for room for ten minutes, then fails it', async () => {
  const lookedAtMs = [599_999, 600_000, Number.MAX_SAFE_INTEGER];
  let nowMs = 0;
  let looks = 0;
  const bound = new SpoolBound(() => nowMs, { ...spoolBoundDefaults, bytesMax: 100 });
  const full = part({ spool: 100, free: gib }, () => {
    nowMs = lookedAtMs[looks] ?? Number.NaN;
    looks += 1;
  });
  bound.add(full);
  await expect(bound.waitForRoom(() => 1, never)).rejects.toMatchObject({ code: 'SPOOL_FULL' });
  expect(looks).toBe(2);
});

it('fails a dump before its source is ended for having to wait, so that the spool is told as the reason', () => {
  const { consumerWaitMsMax } = processLimitDefaults;
  expect(consumerWaitMsMax).toBeGreaterThanOrEqual(spoolBoundDefaults.waitMsMax + 30_000);
});

it('lets a dump go on as soon as there is room', async () => {
  const bytes = { spool: 100, free: gib };
  const bound = new SpoolBound(() => 0, { ...spoolBoundDefaults, bytesMax: 100 });
  let looks = 0;
  bound.add(
    part(bytes, () => {
      looks += 1;
      if (looks === 2) bytes.spool = 99;
    }),
  );
  await bound.waitForRoom(() => 1, never);
  expect(looks).toBe(2);
});
