import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { renewCertificate } from '../../shared/identity/device-identity.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { systemClock, type Clock } from '../../shared/link/clock.ts';
import { dialPeer } from '../../shared/link/link-dialer.ts';
import type { PeerBook } from '../../shared/link/peer-book.ts';
import { restoreIdleMaxMs } from '../../shared/link/peer.ts';
import { LinkDevices, patient, testLimits } from '../support/link-devices.ts';
import { TcpRelay } from '../support/tcp-relay.ts';

const devices = new LinkDevices();
const relays: TcpRelay[] = [];
afterEach(async () => {
  await devices.stop();
  await Promise.all(relays.splice(0).map(async (relay) => relay.stop()));
});

const replica = { role: 'replica' } as const;

async function expectWorking(from: Channel, to: Channel): Promise<void> {
  await from.send(Buffer.from('content'));
  expect((await to.receive())?.toString()).toBe('content');
}

describe('unpairing', () => {
  it('ends the live link at once on both sides, and no other comes up until they are paired again', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    devices.pair(agent, receiver);
    const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
    await dialled.send(Buffer.from('not taken any more'));
    await expect.poll(() => served.bytesReceived, patient).toBeGreaterThan(0);
    agent.book.unpair(receiver.identity.deviceId);
    expect(await served.receive()).toBeNull();
    expect(await served.closed).toMatchObject({ code: 'LINK_UNPAIRED' });
    await expect(served.send(Buffer.from('x'))).rejects.toMatchObject({ code: 'LINK_UNPAIRED' });
    expect(await dialled.closed).toMatchObject({ code: 'LINK_CLOSED' });
    await agent.log.line((line) => line['code'] === 'LINK_UNPAIRED' && line.message === 'connection refused');
    expect(agent.links.isConnected(receiver.identity.deviceId)).toBe(false);
    devices.pair(agent, receiver);
    await expectWorking(await agent.nextChannel(), await receiver.nextChannel());
  });

  it('ends it as well where the dialling side unpairs, and dialling with it', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    devices.pair(agent, receiver);
    const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
    receiver.book.unpair(agent.identity.deviceId);
    expect(await dialled.closed).toMatchObject({ code: 'LINK_UNPAIRED' });
    expect(await served.closed).toMatchObject({ code: 'LINK_CLOSED' });
    expect(receiver.links.status()).toEqual([]);
  });

  it('of one device leaves the link of another alone', async () => {
    const agent = await devices.start('agent');
    const one = await devices.start('receiver', { listen: [] });
    const other = await devices.start('receiver', { listen: [] });
    devices.pair(agent, one);
    const servedOne = await agent.nextChannel();
    devices.pair(agent, other);
    const servedOther = await agent.nextChannel();
    agent.book.unpair(one.identity.deviceId);
    await servedOne.closed;
    await expectWorking(servedOther, await other.nextChannel());
  });

  it('and a changed grant end the link that the old grant had', async () => {
    const receiver = await devices.start('receiver');
    const restorer = await devices.start('restorer', { listen: [] });
    const [first, second] = [receiver.identity.deviceId, restorer.identity.deviceId];
    const deviceId = restorer.identity.deviceId;
    receiver.book.pair({ deviceId, grant: { role: 'restore', agentId: first }, addresses: [] });
    restorer.book.pair({
      deviceId: receiver.identity.deviceId,
      grant: { role: 'restore', agentId: first },
      addresses: receiver.addresses,
    });
    const served = await receiver.nextChannel();
    receiver.book.pair({ deviceId, grant: { role: 'restore', agentId: second }, addresses: [] });
    expect(await served.closed).toMatchObject({ code: 'LINK_UNPAIRED' });
    expect((await receiver.nextChannel()).grant).toEqual({ role: 'restore', agentId: second });
  });
});

describe('a restore grant', () => {
  let shiftMs = 0;
  const clock: Clock = { ...systemClock, now: () => Date.now() + shiftMs };
  let startedAt = 0;
  const startPair = async (limits: { expiryIntervalMs: number } = { expiryIntervalMs: 20 }) => {
    shiftMs = 0;
    startedAt = Date.now();
    const receiver = await devices.start('receiver', { clock, limits });
    const restorer = await devices.start('restorer', { listen: [] });
    const grant = { role: 'restore', agentId: receiver.identity.deviceId } as const;
    receiver.book.pair({ deviceId: restorer.identity.deviceId, grant, addresses: [] });
    const addresses = receiver.addresses;
    restorer.book.pair({ deviceId: receiver.identity.deviceId, grant, addresses });
    const [served, dialled] = await Promise.all([receiver.nextChannel(), restorer.nextChannel()]);
    return { receiver, restorer, served, dialled, restorerId: restorer.identity.deviceId };
  };

  /** When data moved last, in ms since the start. */
  const progressOf = ({ book }: { book: PeerBook }, deviceId: DeviceId): number =>
    (book.get(deviceId)?.lastProgressAt ?? 0) - startedAt;

  it('that has ended ends its live link, and no other comes up', async () => {
    const { receiver, served, restorerId } = await startPair();
    shiftMs = restoreIdleMaxMs;
    expect(await served.closed).toMatchObject({ code: 'LINK_UNPAIRED' });
    await receiver.log.line(
      (line) => line['code'] === 'LINK_UNPAIRED' && line.message === 'connection refused',
    );
    expect(receiver.links.isConnected(restorerId)).toBe(false);
    expect(receiver.book.peers()).toEqual([]);
  });

  it('goes on while data moves', async () => {
    const { receiver, served, dialled, restorerId } = await startPair();
    shiftMs = restoreIdleMaxMs - 60_000;
    await served.send(Buffer.alloc(100_000));
    expect(await dialled.receive()).toHaveLength(100_000);
    await expect.poll(() => progressOf(receiver, restorerId), patient).toBeGreaterThan(shiftMs);
    shiftMs = restoreIdleMaxMs + 60_000;
    await expectWorking(served, dialled);
  });

  it('goes on where data moves over links that all end soon', async () => {
    const { receiver, served, dialled, restorerId } = await startPair({ expiryIntervalMs: 3_600_000 });
    shiftMs = restoreIdleMaxMs - 60_000;
    await served.send(Buffer.alloc(100_000));
    expect(await dialled.receive()).toHaveLength(100_000);
    dialled.close();
    await served.closed;
    await expect.poll(() => progressOf(receiver, restorerId), patient).toBeGreaterThan(shiftMs);
  });
});

it('a device with a renewed certificate for the same key is still paired, on either side', async () => {
  const first = await devices.start('agent');
  const second = await devices.start('receiver');
  const [renewedAgent, renewedReceiver] = [
    await renewCertificate(first.home),
    await renewCertificate(second.home),
  ];
  expect(renewedAgent.certificatePem).not.toBe(first.identity.certificatePem);
  await Promise.all([first.links.stop(), second.links.stop()]);
  const agent = await devices.start('agent', { identity: renewedAgent });
  const receiver = await devices.start('receiver', { listen: [], identity: renewedReceiver });
  // the IDs that were paired before
  agent.book.pair({ deviceId: second.identity.deviceId, grant: replica, addresses: [] });
  receiver.book.pair({ deviceId: first.identity.deviceId, grant: replica, addresses: agent.addresses });
  await expectWorking(await agent.nextChannel(), await receiver.nextChannel());
});

describe('an address', () => {
  it.each([
    ['an IPv4 address', '127.0.0.1:0', '127.0.0.1'],
    ['an IPv6 address', '[::1]:0', '[::1]'],
    ['every address, by IPv4', '0.0.0.0:0', '127.0.0.1'],
    ['every address, by IPv6', '[::]:0', '[::1]'],
    ['every address of IPv6, by IPv4', '[::]:0', '127.0.0.1'],
    ['a name', 'localhost:0', 'localhost'],
    ['an IPv4 address, by name', '127.0.0.1:0', 'localhost'],
    ['every address, by name', '[::]:0', 'localhost'],
  ])('may be %s', async (_name, listen, dialled) => {
    const agent = await devices.start('agent', { listen: [listen] });
    const receiver = await devices.start('receiver', { listen: [] });
    const port = agent.addresses[0]?.split(':').at(-1) ?? '';
    agent.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: [] });
    const addresses = [`${dialled}:${port}`];
    receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses });
    await expectWorking(await agent.nextChannel(), await receiver.nextChannel());
  });

  it('may be one of several to listen on', async () => {
    const agent = await devices.start('agent', { listen: ['127.0.0.1:0', '[::1]:0'] });
    expect(agent.addresses).toHaveLength(2);
    const receiver = await devices.start('receiver', { listen: [] });
    agent.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: [] });
    const addresses = agent.addresses.slice(1);
    receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses });
    await expectWorking(await agent.nextChannel(), await receiver.nextChannel());
  });

  it('that is taken is said so, and nothing stays open', async () => {
    const agent = await devices.start('agent');
    const [taken = ''] = agent.addresses;
    await expect(devices.start('agent', { listen: ['127.0.0.1:0', taken] })).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: `cannot listen on ${taken}: EADDRINUSE`,
    });
  });
});

describe('dialling', () => {
  it('goes on for ever: a link comes back after the other program was away', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    devices.pair(agent, receiver);
    const dialled = await receiver.nextChannel();
    await agent.links.stop();
    expect(await dialled.closed).toBeNull();
    await receiver.log.code('LINK_UNREACHABLE');
    expect(receiver.links.status()[0]).toMatchObject({
      connectedSince: null,
      problem: { code: 'LINK_UNREACHABLE' },
    });
    const again = await devices.start('agent', { identity: agent.identity, listen: agent.addresses });
    again.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: [] });
    await expectWorking(await again.nextChannel(), await receiver.nextChannel());
    expect(receiver.links.status()[0]).toMatchObject({ remoteAddress: agent.addresses[0], problem: null });
    const refusals = receiver.log.lines.filter(
      (line) => line['code'] === 'LINK_UNREACHABLE' && line.level === 'warn',
    );
    expect(refusals).toHaveLength(1);
  });

  it('comes back after each of ten cuts', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    const { relay, address } = await TcpRelay.start(agent.addresses[0] ?? '');
    relays.push(relay);
    agent.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: [] });
    receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses: [address] });
    for (let cuts = 0; cuts < 10; cuts += 1) {
      const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
      await expectWorking(served, dialled);
      relay.cut();
      expect(await dialled.closed).toMatchObject({ code: 'LINK_CLOSED' });
      expect(await served.closed).toMatchObject({ code: 'LINK_CLOSED' });
    }
    await expectWorking(await agent.nextChannel(), await receiver.nextChannel());
  });

  it('sends nothing to another device that answers at the address, and says which it is', async () => {
    const agent = await devices.start('agent');
    const impostor = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    // even one that would accept us
    impostor.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: [] });
    agent.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: [] });
    const addresses = impostor.addresses;
    receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses });
    expect((await receiver.log.code('LINK_WRONG_DEVICE'))['reason']).toContain(impostor.identity.deviceId);
    expect(impostor.links.isConnected(receiver.identity.deviceId)).toBe(false);
    // a second address, given later, is taken at once
    receiver.book.pair({
      deviceId: agent.identity.deviceId,
      grant: replica,
      addresses: [...impostor.addresses, ...agent.addresses],
    });
    await expectWorking(await agent.nextChannel(), await receiver.nextChannel());
  });

  it('gives up on something that accepts and is silent, and tries the next address', async () => {
    const silent = net.createServer(() => {});
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [], limits: { dialTimeoutMs: 1500 } });
    agent.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: [] });
    receiver.book.pair({
      deviceId: agent.identity.deviceId,
      grant: replica,
      addresses: [`127.0.0.1:${port}`, ...agent.addresses],
    });
    await expectWorking(await agent.nextChannel(), await receiver.nextChannel());
    silent.close();
  });

  it.each(['lower', 'higher'])(
    'of the device with the %s ID, just after the other one has, is decided by the IDs',
    async (which) => {
      // "just after" is as long as this test takes
      const limits = { crossingMs: 3_600_000 };
      const two = async () =>
        [await devices.start('agent', { limits }), await devices.start('receiver', { limits })] as const;
      let [agent, receiver] = await two();
      while (receiver.identity.deviceId < agent.identity.deviceId !== (which === 'lower'))
        [agent, receiver] = await two();
      const [agentId, receiverId] = [agent.identity.deviceId, receiver.identity.deviceId];
      receiver.book.pair({ deviceId: agentId, grant: replica, addresses: [] });
      agent.book.pair({ deviceId: receiverId, grant: replica, addresses: receiver.addresses });
      const [first, firstThere] = [await agent.nextChannel(), await receiver.nextChannel()];
      const peer = {
        deviceId: agentId,
        role: 'agent',
        grant: replica,
        addresses: agent.addresses,
        pairedAt: 0,
        lastProgressAt: null,
      } as const;
      const second = await dialPeer({ identity: receiver.identity }, peer, {
        limits: testLimits,
        signal: new AbortController().signal,
      });
      if (which === 'lower') {
        expect(await first.closed).toMatchObject({
          message: expect.stringContaining('newer link') as unknown,
        });
        await expectWorking(await agent.nextChannel(), second);
      } else {
        expect(await second.closed).toMatchObject({ code: 'LINK_CLOSED' });
        await expectWorking(first, firstThere);
      }
      second.close();
    },
  );

  it('of both sides at once ends in one link, the same on both', async () => {
    for (let rounds = 0; rounds < 5; rounds += 1) {
      const agent = await devices.start('agent');
      const receiver = await devices.start('receiver');
      const open = { agent: new Set<Channel>(), receiver: new Set<Channel>() };
      const heard = new Set<string>();
      const listen = async (channel: Channel) => {
        for (let message = await channel.receive(); message !== null; message = await channel.receive())
          heard.add(message.toString());
      };
      const collect = async (device: typeof agent, channels: Set<Channel>) => {
        for (;;) {
          const channel = await device.nextChannel();
          channels.add(channel);
          void listen(channel);
          void channel.closed.then(() => channels.delete(channel));
        }
      };
      void collect(agent, open.agent);
      void collect(receiver, open.receiver);
      agent.book.pair({
        deviceId: receiver.identity.deviceId,
        grant: replica,
        addresses: receiver.addresses,
      });
      receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses: agent.addresses });
      let said = 0;
      const settled = async () => {
        const [served] = open.agent;
        if (served === undefined || open.agent.size !== 1 || open.receiver.size !== 1) return false;
        // what one end of the only link says comes out at the other
        const message = `${(said += 1)}`;
        await served.send(Buffer.from(message)).catch(() => {});
        await expect.poll(() => heard.has(message) || !open.agent.has(served), patient).toBe(true);
        return open.agent.has(served) && open.agent.size === 1 && open.receiver.size === 1;
      };
      await expect.poll(settled, patient).toBe(true);
      await devices.stop();
    }
  });
});

it('stop resolves with nothing left open', async () => {
  const opened = () =>
    process
      .getActiveResourcesInfo()
      .filter((name) => /TCP|TLS|Timeout/.test(name))
      .sort();
  const before = opened();
  const agent = await devices.start('agent');
  const receiver = await devices.start('receiver');
  agent.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: receiver.addresses });
  receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses: agent.addresses });
  const unreachable = await devices.start('receiver', {
    limits: { backoffMinMs: 60_000, backoffMaxMs: 60_000 },
  });
  unreachable.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses: ['127.0.0.1:1'] });
  await unreachable.log.code('LINK_UNREACHABLE');
  const served = await agent.nextChannel();
  const waiting = served.receive();
  await devices.stop();
  expect(await waiting).toBeNull();
  // what was open before may have ended meanwhile
  const left = () => {
    const others = [...before];
    return opened().filter((name) => {
      const at = others.indexOf(name);
      if (at >= 0) others.splice(at, 1);
      return at < 0;
    });
  };
  await expect.poll(left, patient).toEqual([]);
});
