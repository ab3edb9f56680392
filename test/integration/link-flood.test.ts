import net from 'node:net';
import v8 from 'node:v8';
import vm from 'node:vm';
import { afterEach, describe, expect, it } from 'vitest';
import type { DeviceIdentity } from '../../shared/identity/device-identity.ts';
import { formatAddress, parseAddress } from '../../shared/link/address.ts';
import { encodeJoinRequest } from '../../shared/link/join-frame.ts';
import { LinkServer } from '../../shared/link/link-server.ts';
import { createInvitation } from '../../shared/link/pairing.ts';
import { joinAlpn, linkAlpn } from '../../shared/link/tls-peer.ts';
import type { WebSocketChannel } from '../../shared/link/web-socket-channel.ts';
import { LinkDevices, patient, testLimits } from '../support/link-devices.ts';
import { connectTcp, connectTls, credentials, upgradeRequest } from '../support/raw-client.ts';

const devices = new LinkDevices();
afterEach(async () => devices.stop());

const wrongSecret = encodeJoinRequest({
  secret: Buffer.alloc(16),
  role: 'receiver',
  addresses: [],
  agentId: null,
});
const halfHello = Buffer.from('160301020001000001fc0303', 'hex');

describe('1,000 half-open connections', () => {
  it('are held only up to the limit, let a paired device through and are a few lines in the log', async () => {
    const agent = await devices.start('agent', {
      limits: { pendingConnectionsMax: 100, arrivalTimeoutMs: 3_600_000, refusalWindowMs: 3_600_000 },
    });
    const [address = ''] = agent.addresses;
    let open = 0;
    const ends: Promise<unknown>[] = [];
    const flood = async (count: number) => {
      for (let nth = 0; nth < count; nth += 1) {
        const { socket, ended } = await connectTcp(address);
        open += 1;
        ends.push(ended.then(() => (open -= 1)));
        if (nth % 2 === 0) socket.write(halfHello);
      }
    };
    await flood(500);
    const receiver = await devices.start('receiver', { listen: [] });
    devices.pair(agent, receiver);
    const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel(), flood(500)]);
    await dialled.send(Buffer.from('want'));
    expect((await served.receive())?.toString()).toBe('want');
    await Promise.race([Promise.all(ends.slice(0, 900)), served.closed]);
    expect(open).toBeLessThanOrEqual(100);
    const lines = agent.log.lines.filter((line) => line['code'] === 'LINK_OVERLOADED');
    expect(lines.length).toBe(5);
    await agent.links.stop();
    await Promise.all(ends);
    expect(open).toBe(0);
    const refused = agent.log.lines.filter((line) => line['code'] === 'LINK_OVERLOADED');
    expect(refused.at(-1)?.['count']).toBeGreaterThanOrEqual(890);
  });

  it('end by themselves when their time is over', async () => {
    const agent = await devices.start('agent', { limits: { arrivalTimeoutMs: 200 } });
    const [address = ''] = agent.addresses;
    const connections = await Promise.all(Array.from({ length: 20 }, async () => connectTcp(address)));
    await Promise.all(connections.map(async ({ ended }) => ended));
    expect(await agent.log.code('LINK_TIMEOUT')).toMatchObject({ level: 'warn' });
  });

  it('give their place back at once when they are refused, and when they become a link', async () => {
    const agent = await devices.start('agent', { listen: [] });
    const receiver = await devices.start('receiver', { listen: [] });
    const channels: WebSocketChannel[] = [];
    const server = new LinkServer(
      { ...agent, logger: agent.log, onChannel: (channel) => channels.push(channel) },
      { address: parseAddress('127.0.0.1:0'), limits: { ...testLimits, arrivalTimeoutMs: 3_600_000 } },
    );
    const address = formatAddress(await server.start());
    const alpn = { ALPNProtocols: [linkAlpn] };
    const garbage = await connectTcp(address);
    garbage.socket.write('GET / HTTP/1.1');
    const left = await connectTcp(address);
    left.socket.destroy();
    const unpaired = connectTls(address, { ...credentials(receiver.identity), ...alpn });
    const nameless = connectTls(address, alpn);
    await Promise.all([garbage, left, unpaired, nameless].map(async ({ ended }) => ended));
    await expect.poll(() => server.pendingConnections, patient).toBe(0);
    agent.book.pair({ deviceId: receiver.identity.deviceId, grant: { role: 'replica' }, addresses: [] });
    const paired = connectTls(address, { ...credentials(receiver.identity), ...alpn }, (socket) => {
      socket.write(upgradeRequest);
    });
    await expect.poll(() => channels.length, patient).toBe(1);
    expect(server.pendingConnections).toBe(0);
    const silent = await connectTcp(address);
    await expect.poll(() => server.pendingConnections, patient).toBe(1);
    const stopped = server.stop();
    await silent.ended;
    channels[0]?.close();
    await Promise.all([stopped, paired.ended]);
  });

  it('leave no memory behind', async () => {
    const agent = await devices.start('agent', { limits: { pendingConnectionsMax: 50 } });
    const [address = ''] = agent.addresses;
    const round = async () => {
      const connections = await Promise.all(Array.from({ length: 200 }, async () => connectTcp(address)));
      for (const { socket } of connections) socket.write(halfHello);
      for (const { socket } of connections) socket.destroy();
      await Promise.all(connections.map(async ({ ended }) => ended));
    };
    await round();
    await round();
    const before = heapUsedBytes();
    for (let rounds = 0; rounds < 5; rounds += 1) await round();
    // 1,000 connections; two kilobytes kept of each would show
    await expect.poll(() => heapUsedBytes() - before, patient).toBeLessThan(2_000_000);
  });
});

describe('a connection that is refused leaves no memory behind', () => {
  it.each<[string, (address: string, stranger: DeviceIdentity) => Promise<{ ended: Promise<Buffer> }>]>([
    [
      'of an unpaired device that sends a lot',
      async (address, stranger) =>
        connectTls(address, { ...credentials(stranger), ALPNProtocols: [linkAlpn] }, (socket) =>
          socket.write(Buffer.alloc(50_000)),
        ),
    ],
    [
      'of a device that joins with a wrong secret',
      async (address, stranger) =>
        connectTls(address, { ...credentials(stranger), ALPNProtocols: [joinAlpn] }, (socket) =>
          socket.write(wrongSecret),
        ),
    ],
    ['without a certificate', async (address) => connectTls(address, { ALPNProtocols: [linkAlpn] })],
    [
      'of garbage',
      async (address) => {
        const connection = await connectTcp(address);
        connection.socket.write(Buffer.alloc(50_000, 0x5a));
        return connection;
      },
    ],
  ])('%s', async (_name, connect) => {
    const agent = await devices.start('agent', {
      limits: { joinsPerMinuteMax: 1_000_000, refusalWindowMs: 3_600_000 },
    });
    const stranger = await devices.start('receiver', { listen: [] });
    createInvitation(agent, { addresses: agent.addresses, offer: { role: 'replica' } });
    const [address = ''] = agent.addresses;
    const round = async () => {
      const connections = await Promise.all(
        Array.from({ length: 50 }, async () => connect(address, stranger.identity)),
      );
      await Promise.all(connections.map(async ({ ended }) => ended));
    };
    await round();
    const before = socketsInMemory();
    for (let rounds = 0; rounds < 4; rounds += 1) await round();
    // of 200; the last ones may still be on their way out
    await expect.poll(() => socketsInMemory() - before, patient).toBeLessThan(20);
    expect(agent.log.lines.filter((line) => line.level === 'warn')).toHaveLength(5);
  });
});

describe('a slow sender', () => {
  const drip = (socket: { write: (bytes: Buffer) => unknown }, bytes: Buffer) => {
    let sent = 0;
    return setInterval(() => socket.write(bytes.subarray(sent, (sent += 1))), 50);
  };

  it('is cut while it joins', async () => {
    const agent = await devices.start('agent', { limits: { arrivalTimeoutMs: 2000 } });
    const stranger = await devices.start('receiver', { listen: [] });
    createInvitation(agent, { addresses: agent.addresses, offer: { role: 'replica' } });
    let dripping: NodeJS.Timeout | undefined;
    const { ended } = connectTls(
      agent.addresses[0] ?? '',
      { ...credentials(stranger.identity), ALPNProtocols: [joinAlpn] },
      (socket) => {
        dripping = drip(socket, Buffer.concat([Buffer.from([3, 0]), Buffer.alloc(768)]));
      },
    );
    expect((await ended).length).toBe(0);
    clearInterval(dripping);
    expect(await agent.log.code('LINK_TIMEOUT')).toMatchObject({ deviceId: stranger.identity.deviceId });
    expect(agent.book.peers()).toEqual([]);
  });

  it('is cut while it sends its headers, though it is paired', async () => {
    const agent = await devices.start('agent', { limits: { arrivalTimeoutMs: 2000 } });
    const receiver = await devices.start('receiver', { listen: [] });
    agent.book.pair({ deviceId: receiver.identity.deviceId, grant: { role: 'replica' }, addresses: [] });
    let dripping: NodeJS.Timeout | undefined;
    const { ended } = connectTls(
      agent.addresses[0] ?? '',
      { ...credentials(receiver.identity), ALPNProtocols: [linkAlpn] },
      (socket) => {
        dripping = drip(socket, Buffer.from(upgradeRequest));
      },
    );
    expect((await ended).length).toBe(0);
    clearInterval(dripping);
    expect(await agent.log.code('LINK_TIMEOUT')).toMatchObject({ deviceId: receiver.identity.deviceId });
  });
});

v8.setFlagsFromString('--expose-gc');
const collectGarbage = vm.runInNewContext('gc') as () => void;

function heapUsedBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** How many sockets, TLS or not, something still holds on to. */
function socketsInMemory(): number {
  return v8.queryObjects(net.Socket, { format: 'count' });
}
