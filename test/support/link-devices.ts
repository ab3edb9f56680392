import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createDeviceIdentity, type DeviceIdentity } from '../../shared/identity/device-identity.ts';
import { parseAddress } from '../../shared/link/address.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { systemClock, type Clock } from '../../shared/link/clock.ts';
import { defaultLinkLimits, type LinkLimits } from '../../shared/link/link-limits.ts';
import { PeerBook } from '../../shared/link/peer-book.ts';
import { PeerLinks } from '../../shared/link/peer-links.ts';
import type { DeviceRole, Peer } from '../../shared/link/peer.ts';
import { LogRecorder } from './log-recorder.ts';

/** Back-off of milliseconds, so that tests wait for events and not for time. */
export const testLimits: LinkLimits = {
  ...defaultLinkLimits,
  backoffMinMs: 10,
  backoffMaxMs: 50,
  closeTimeoutMs: 1000,
};

/** For `expect.poll` on a machine that is busy. */
export const patient = { timeout: 120_000 };

type TestDevice = {
  home: string;
  identity: DeviceIdentity;
  book: PeerBook;
  log: LogRecorder;
  links: PeerLinks;
  /** Bound addresses. */
  addresses: string[];
  /** Resolves with the next channel that came up and was not given out before. */
  nextChannel(): Promise<Channel>;
};

type DeviceOptions = {
  listen?: string[];
  limits?: Partial<LinkLimits>;
  clock?: Clock;
  /** For the jitter of the back-off. */
  random?: () => number;
  identity?: DeviceIdentity;
};

/** Real devices with homes of their own in one process; `stop` ends them and removes the homes. */
export class LinkDevices {
  readonly #devices: TestDevice[] = [];

  async start(role: DeviceRole, options: DeviceOptions = {}): Promise<TestDevice> {
    const home = fs.mkdtempSync(path.join(os.tmpdir(), `link-${role}-`));
    const identity = options.identity ?? (await createDeviceIdentity(home));
    const clock = options.clock ?? systemClock;
    const book = PeerBook.open({ file: path.join(home, 'peers.json'), self: role, now: () => clock.now() });
    const log = new LogRecorder();
    const arrived: Channel[] = [];
    const waiting: ((channel: Channel) => void)[] = [];
    const onChannel = (channel: Channel, _peer: Peer) => {
      const waiter = waiting.shift();
      if (waiter === undefined) arrived.push(channel);
      else waiter(channel);
    };
    const links = new PeerLinks(
      { identity, book, logger: log, onChannel, clock, random: options.random ?? Math.random },
      {
        listen: (options.listen ?? ['127.0.0.1:0']).map((text) => parseAddress(text)),
        limits: { ...testLimits, ...options.limits },
      },
    );
    const nextChannel = async () => {
      const channel = arrived.shift();
      return channel ?? new Promise<Channel>((resolve) => waiting.push(resolve));
    };
    const device: TestDevice = { home, identity, book, log, links, addresses: [], nextChannel };
    this.#devices.push(device);
    device.addresses = await links.start();
    return device;
  }

  /** Pairs an agent that listens with a receiver that dials it, by hand. */
  pair(agent: TestDevice, receiver: TestDevice): void {
    const grant = { role: 'replica' } as const;
    agent.book.pair({ deviceId: receiver.identity.deviceId, grant, addresses: [] });
    receiver.book.pair({ deviceId: agent.identity.deviceId, grant, addresses: agent.addresses });
  }

  async stop(): Promise<void> {
    const devices = this.#devices.splice(0);
    await Promise.all(devices.map(async (device) => device.links.stop()));
    for (const device of devices) fs.rmSync(device.home, { recursive: true });
  }
}
