import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import tls, { type TLSSocket } from 'node:tls';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createDeviceIdentity, type DeviceIdentity } from '../../shared/identity/device-identity.ts';
import { dialPeer } from '../../shared/link/link-dialer.ts';
import { joinAlpn, linkAlpn, tlsOptions, verifiedDeviceId } from '../../shared/link/tls-peer.ts';
import { LinkDevices, testLimits } from '../support/link-devices.ts';
import {
  childCredentials,
  connectTcp,
  connectTls,
  credentials,
  upgradeRequest,
} from '../support/raw-client.ts';

type Device = Awaited<ReturnType<LinkDevices['start']>>;

const devices = new LinkDevices();
let agent: Device;
let receiver: Device;
let stranger: DeviceIdentity;

beforeEach(async () => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'stranger-'));
  stranger = await createDeviceIdentity(home);
  fs.rmSync(home, { recursive: true });
  agent = await devices.start('agent');
  receiver = await devices.start('receiver', { listen: [] });
});
afterEach(async () => {
  await expectStillServing();
  await devices.stop();
});

const address = () => agent.addresses[0] ?? '';
const alpn = { ALPNProtocols: [linkAlpn] };

/** Whatever was done to the agent: a paired device gets a link, both ways, and no channel came to anybody else. */
async function expectStillServing(): Promise<void> {
  if (agent.book.get(receiver.identity.deviceId) === null || receiver.book.peers().length === 0) {
    devices.pair(agent, receiver);
  }
  const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
  expect(served.peerId).toBe(receiver.identity.deviceId);
  await served.send(Buffer.from('content'));
  expect((await dialled.receive())?.toString()).toBe('content');
  expect(agent.log.lines.filter((line) => line.level === 'error')).toEqual([]);
}

function pairOnlyAtAgent(): void {
  agent.book.pair({ deviceId: receiver.identity.deviceId, grant: { role: 'replica' }, addresses: [] });
}

it('an unpaired device gets nothing, though it says everything right', async () => {
  const { ended } = connectTls(address(), { ...credentials(stranger), ...alpn }, (socket) => {
    socket.write(upgradeRequest);
  });
  expect((await ended).length).toBe(0);
  expect(await agent.log.code('LINK_UNPAIRED')).toMatchObject({ level: 'warn', deviceId: stranger.deviceId });
});

it('an unpaired device is told by its own dialler where to look', async () => {
  const dialling = dialPeer(
    { identity: stranger },
    {
      deviceId: agent.identity.deviceId,
      role: 'agent',
      grant: { role: 'replica' },
      addresses: [address()],
      pairedAt: 0,
      lastProgressAt: null,
    },
    { limits: testLimits, signal: new AbortController().signal },
  );
  await expect(dialling).rejects.toMatchObject({ code: 'LINK_CLOSED', hint: 'is this device paired there?' });
});

it('the right device that speaks something else is told so, and sent nothing', async () => {
  const server = tls.createServer({ ...tlsOptions(stranger), requestCert: true });
  const received: Buffer[] = [];
  server.on('secureConnection', (socket) => socket.on('data', (bytes: Buffer) => received.push(bytes)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { promise: left, resolve } = Promise.withResolvers<void>();
  server.once('connection', (socket: Socket) => void socket.once('close', () => resolve()));
  const dialling = dialPeer(
    { identity: receiver.identity },
    {
      deviceId: stranger.deviceId,
      role: 'agent',
      grant: { role: 'replica' },
      addresses: [`127.0.0.1:${port}`],
      pairedAt: 0,
      lastProgressAt: null,
    },
    { limits: testLimits, signal: new AbortController().signal },
  );
  await expect(dialling).rejects.toMatchObject({ code: 'LINK_TLS_FAILED' });
  await left;
  expect(received).toEqual([]);
  server.close();
});

it('a certificate signed by the key of a paired device is not that device', async () => {
  pairOnlyAtAgent();
  const child = await childCredentials(receiver.identity);
  const { ended } = connectTls(address(), { ...child, ...alpn }, (socket) => socket.write(upgradeRequest));
  expect((await ended).length).toBe(0);
  const line = await agent.log.code('LINK_UNPAIRED');
  expect(line['deviceId']).not.toBe(receiver.identity.deviceId);
});

it('a client without a certificate gets nothing', async () => {
  const { ended } = connectTls(address(), alpn, (socket) => socket.write(upgradeRequest));
  expect((await ended).length).toBe(0);
  await agent.log.code('LINK_NO_CERTIFICATE');
});

it('TLS 1.2 gets nothing, not even with the key of a paired device', async () => {
  pairOnlyAtAgent();
  const { ended } = connectTls(address(), {
    ...credentials(receiver.identity),
    ...alpn,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
  });
  expect((await ended).length).toBe(0);
  // no handshake at all, where an older version would be looked at only after it
  expect(await agent.log.code('LINK_TLS_FAILED')).toMatchObject({
    reason: expect.stringContaining('the TLS handshake failed') as unknown,
  });
});

it('TLS 1.2 proves no key to either end, wherever it came from', async () => {
  const old = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
  const server = tls.createServer({ ...tlsOptions(stranger), ...old, requestCert: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'secureConnection');
  const client = tls.connect({ ...tlsOptions(receiver.identity), ...old, host: '127.0.0.1', port });
  await once(client, 'secureConnect');
  const [served] = (await accepted) as [TLSSocket];
  const refused = expect.objectContaining({ code: 'LINK_TLS_FAILED' }) as unknown;
  expect(() => verifiedDeviceId(client)).toThrowError(refused);
  expect(() => verifiedDeviceId(served)).toThrowError(refused);
  client.destroy();
  served.destroy();
  server.close();
});

it.each([{ ALPNProtocols: ['http/1.1'] }, {}])(
  'a client that says %j instead of our protocol gets nothing',
  async (other) => {
    pairOnlyAtAgent();
    const { ended } = connectTls(address(), { ...credentials(receiver.identity), ...other }, (socket) => {
      socket.write(upgradeRequest);
    });
    expect((await ended).length).toBe(0);
    await agent.log.code('LINK_TLS_FAILED');
  },
);

it('no session can be resumed: a ticket of ours is worth nothing and the key is asked for again', async () => {
  pairOnlyAtAgent();
  const options = { ...credentials(receiver.identity), ...alpn };
  const first = connectTls(address(), options, (socket) => socket.write(upgradeRequest));
  // OpenSSL sends a ticket all the same, which nobody could look up
  const [ticket] = (await once(first.socket, 'session')) as [Buffer];
  await agent.nextChannel();
  const { socket } = connectTls(address(), { ...options, session: ticket });
  await once(socket, 'secureConnect');
  expect(socket.isSessionReused()).toBe(false);
  first.socket.destroy();
  socket.destroy();
});

it('a resumed session proves no key to either end, wherever it came from', async () => {
  // a server that is not ours, and lets sessions be resumed
  const server = tls.createServer({ ...tlsOptions(stranger), secureOptions: 0, requestCert: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const options = { ...tlsOptions(receiver.identity), host: '127.0.0.1', port };
  const connect = async (session?: Buffer): Promise<[TLSSocket, TLSSocket]> => {
    const accepted = once(server, 'secureConnection');
    const client = tls.connect({ ...options, ...(session === undefined ? {} : { session }) });
    client.on('error', () => {});
    await once(client, 'secureConnect');
    const [served] = (await accepted) as [TLSSocket];
    return [client, served];
  };
  const [client, served] = await connect();
  expect(verifiedDeviceId(client)).toBe(stranger.deviceId);
  expect(verifiedDeviceId(served)).toBe(receiver.identity.deviceId);
  const session = once(client, 'session');
  served.write('x');
  const [ticket] = (await session) as [Buffer];
  const [resumed, servedAgain] = await connect(ticket);
  expect(resumed.isSessionReused()).toBe(true);
  const refused = expect.objectContaining({ code: 'LINK_TLS_FAILED' }) as unknown;
  expect(() => verifiedDeviceId(resumed)).toThrowError(refused);
  expect(() => verifiedDeviceId(servedAgain)).toThrowError(refused);
  for (const socket of [client, served, resumed, servedAgain]) socket.destroy();
  server.close();
});

it.each([
  ['noise', () => randomBytes(100_000)],
  ['HTTP without TLS', () => Buffer.from(upgradeRequest)],
  ['zeros', () => Buffer.alloc(50_000)],
  ['the beginning of a ClientHello that is nonsense', () => Buffer.from('160301020001000001fc0303', 'hex')],
  ['a TLS alert', () => Buffer.from('15030300020228', 'hex')],
])('%s instead of TLS gets nothing of ours', async (_name, bytes) => {
  const { socket, ended } = await connectTcp(address());
  socket.end(bytes());
  const answer = await ended;
  // at most the alert of the TLS library
  expect(answer.length).toBeLessThanOrEqual(7);
  await agent.log.code('LINK_TLS_FAILED');
});

it.each([
  ['noise', randomBytes(3000)],
  ['a plain request', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
  ['a request with a body', Buffer.from('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello')],
  [
    'a request that waits to continue',
    Buffer.from('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n'),
  ],
  ['headers without end', Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}`)],
  ['another subprotocol', Buffer.from(upgradeRequest.replace('mastokeep.v1', 'chat'))],
  ['another path', Buffer.from(upgradeRequest.replace('GET /', 'GET /other'))],
  ['a tunnel', Buffer.from('CONNECT example.org:443 HTTP/1.1\r\nHost: a\r\n\r\n')],
])('a paired device that sends %s after TLS gets neither link nor answer', async (_name, bytes) => {
  pairOnlyAtAgent();
  const { ended } = connectTls(address(), { ...credentials(receiver.identity), ...alpn }, (socket) => {
    socket.write(bytes);
  });
  expect((await ended).length).toBe(0);
  await agent.log.line((line) => line.level === 'warn' && line['deviceId'] === receiver.identity.deviceId);
});

it('an unpaired device that sends noise after TLS gets nothing', async () => {
  const { ended } = connectTls(address(), { ...credentials(stranger), ...alpn }, (socket) => {
    socket.write(randomBytes(100_000));
  });
  expect((await ended).length).toBe(0);
  await agent.log.code('LINK_UNPAIRED');
});

it('nobody is listened to for joining while no invitation is open', async () => {
  const { ended } = connectTls(
    address(),
    { ...credentials(stranger), ALPNProtocols: [joinAlpn] },
    (socket) => {
      socket.write(Buffer.alloc(500));
    },
  );
  expect((await ended).length).toBe(0);
  expect(await agent.log.code('INVITATION_REFUSED')).toMatchObject({ reason: 'no invitation is open' });
});
