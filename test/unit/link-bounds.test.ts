import { describe, expect, it } from 'vitest';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { AttemptLimit, sourceOf } from '../../shared/link/attempt-limit.ts';
import { choosesArriving } from '../../shared/link/crossing.ts';
import { MessageQueue } from '../../shared/link/message-queue.ts';
import { RefusalLog } from '../../shared/link/refusal-log.ts';
import { LogRecorder } from '../support/log-recorder.ts';

describe('the log of refusals', () => {
  it('turns a thousand refusals into a few lines and their number', () => {
    const logger = new LogRecorder();
    let now = 0;
    const refusals = new RefusalLog({ logger }, { linesMax: 3, windowMs: 60_000, now: () => now });
    for (let nth = 0; nth < 1000; nth += 1) refusals.note('LINK_UNPAIRED', { nth });
    refusals.note('LINK_TLS_FAILED', {});
    expect(logger.lines).toHaveLength(4);
    now = 60_000;
    refusals.note('LINK_UNPAIRED', { nth: 1000 });
    expect(logger.lines[4]).toMatchObject({ code: 'LINK_UNPAIRED', count: 997 });
    expect(logger.lines[5]).toMatchObject({ code: 'LINK_UNPAIRED', nth: 1000 });
    refusals.flush();
    expect(logger.lines).toHaveLength(6);
  });
});

describe('the limit of attempts', () => {
  it('gives every source its own share of a minute', () => {
    let now = 0;
    const attempts = new AttemptLimit({ perMinuteMax: 2, now: () => now });
    const tries = (source: string) => [1, 2, 3].map(() => attempts.allow(source));
    expect(tries('192.0.2.7')).toEqual([true, true, false]);
    expect(tries('192.0.2.8')).toEqual([true, true, false]);
    now = 60_000;
    expect(tries('192.0.2.7')).toEqual([true, true, false]);
  });

  it('takes a network of IPv6 for one source, and IPv4 in IPv6 for IPv4', () => {
    expect(sourceOf('2001:DB8::1')).toBe(sourceOf('2001:db8:0:0:ffff::2'));
    expect(sourceOf('2001:db8::1')).not.toBe(sourceOf('2001:db8:0:1::1'));
    expect(sourceOf('::ffff:192.0.2.7')).toBe('192.0.2.7');
    expect(sourceOf('fe80::1%eth0')).toBe('fe80:0000:0000:0000');
    expect(sourceOf('::1')).toBe('0000:0000:0000:0000');
  });
});

describe('of two links to one peer', () => {
  const low = 'AAAAAAA' as DeviceId;
  const high = 'BBBBBBB' as DeviceId;
  const options = { crossingMs: 1000 };

  it('both devices keep the one that the lower ID dialled when they crossed, in whichever order they came up', () => {
    const byLow = { dialledBy: low, openedAt: 0 };
    const byHigh = { dialledBy: high, openedAt: 0 };
    expect(choosesArriving(byHigh, { ...byLow, openedAt: 999 }, options)).toBe(true);
    expect(choosesArriving(byLow, { ...byHigh, openedAt: 999 }, options)).toBe(false);
  });

  it('the newer stays when the same side dialled again, or when the old one is old', () => {
    const old = { dialledBy: low, openedAt: 0 };
    expect(choosesArriving(old, { dialledBy: low, openedAt: 1 }, options)).toBe(true);
    expect(choosesArriving(old, { dialledBy: high, openedAt: 1000 }, options)).toBe(true);
  });
});

describe('a message queue', () => {
  it('gives messages in order to takers in order, and null after the end', async () => {
    const queue = new MessageQueue();
    const early = queue.take();
    queue.put(Buffer.from('1'));
    queue.put(Buffer.from('23'));
    expect(queue.bytes).toBe(2);
    expect((await early)?.toString()).toBe('1');
    queue.end(false);
    queue.put(Buffer.from('late'));
    expect((await queue.take())?.toString()).toBe('23');
    expect(queue.bytes).toBe(0);
    expect(await queue.take()).toBeNull();
  });

  it('answers those who wait when it ends, and forgets what waits when told so', async () => {
    const waiting = new MessageQueue();
    const taken = [waiting.take(), waiting.take()];
    waiting.end(false);
    expect(await Promise.all(taken)).toEqual([null, null]);
    const full = new MessageQueue();
    full.put(Buffer.from('1'));
    full.end(true);
    expect(await full.take()).toBeNull();
    expect(full.bytes).toBe(0);
  });
});
