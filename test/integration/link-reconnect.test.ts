import { afterEach, expect, it } from 'vitest';
import type { Clock } from '../../shared/link/clock.ts';
import { LinkDevices, patient } from '../support/link-devices.ts';

const devices = new LinkDevices();
afterEach(async () => devices.stop());

const replica = { role: 'replica' } as const;
const limits = { backoffMinMs: 1000, backoffMaxMs: 8000, steadyAfterMs: 3_600_000 };

/** Time that passes only where somebody sleeps, and is written down. */
class SleepRecorder implements Clock {
  readonly sleeps: number[] = [];
  #now = Date.now();
  now(): number {
    return this.#now;
  }
  async sleep(ms: number): Promise<void> {
    this.sleeps.push(ms);
    this.#now += ms;
    // the rest of the program has its turns
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

it('an address at which nobody answers is dialled for ever, at most every so often', async () => {
  const clock = new SleepRecorder();
  const receiver = await devices.start('receiver', { listen: [], limits, clock, random: () => 0.5 });
  const agent = await devices.start('agent');
  await agent.links.stop();
  const addresses = agent.addresses;
  receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses });
  await expect.poll(() => clock.sleeps.length, patient).toBeGreaterThanOrEqual(20);
  // three quarters of 1, 2, 4, 8 and then 8 s: chance gave a half of the half that it has
  expect(clock.sleeps.slice(0, 5)).toEqual([750, 1500, 3000, 6000, 6000]);
  expect(new Set(clock.sleeps.slice(3))).toEqual(new Set([6000]));
});

it('the waits of two devices differ by chance', async () => {
  const sleepsOf = async (random: () => number): Promise<number[]> => {
    const clock = new SleepRecorder();
    const receiver = await devices.start('receiver', { listen: [], limits, clock, random });
    const agent = await devices.start('agent', { listen: [] });
    receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses: ['127.0.0.1:1'] });
    await expect.poll(() => clock.sleeps.length, patient).toBeGreaterThanOrEqual(3);
    return clock.sleeps.slice(0, 3);
  };
  expect(await sleepsOf(() => 0)).toEqual([500, 1000, 2000]);
  expect(await sleepsOf(() => 0.999)).toEqual([1000, 1999, 3998]);
});

it('a link that ends after each greeting is dialled less and less often', async () => {
  const clock = new SleepRecorder();
  const agent = await devices.start('agent');
  const receiver = await devices.start('receiver', { listen: [], limits, clock, random: () => 0.5 });
  devices.pair(agent, receiver);
  for (let links = 0; links < 5; links += 1) {
    const channel = await agent.nextChannel();
    await channel.send(Buffer.from('hello'));
    channel.close();
  }
  await agent.nextChannel();
  expect(clock.sleeps).toEqual([750, 1500, 3000, 6000, 6000]);
});

it('a link that was of use is dialled again soon when it ends', async () => {
  const clock = new SleepRecorder();
  const agent = await devices.start('agent');
  const receiver = await devices.start('receiver', { listen: [], limits, clock, random: () => 0.5 });
  devices.pair(agent, receiver);
  for (let links = 0; links < 4; links += 1) {
    const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
    await served.send(Buffer.alloc(10_000));
    expect((await dialled.receive())?.length).toBe(10_000);
    served.close();
  }
  await agent.nextChannel();
  expect(clock.sleeps).toEqual([750, 750, 750, 750]);
});
