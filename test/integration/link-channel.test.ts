import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, type ClientOptions } from 'ws';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { deviceIdOfKey } from '../../shared/identity/device-id.ts';
import type { Channel } from '../../shared/link/channel.ts';
import type { LinkLimits } from '../../shared/link/link-limits.ts';
import { linkAlpn, subprotocol } from '../../shared/link/tls-peer.ts';
import { LinkDevices, patient } from '../support/link-devices.ts';
import { connectTls, credentials } from '../support/raw-client.ts';
import { TcpRelay } from '../support/tcp-relay.ts';
import { until } from '../support/until.ts';

const devices = new LinkDevices();
const relays: TcpRelay[] = [];
afterEach(async () => {
  await devices.stop();
  await Promise.all(relays.splice(0).map(async (relay) => relay.stop()));
});

const MiB = 1024 * 1024;
const replica = { role: 'replica' } as const;

async function startPair(limits: Partial<LinkLimits> = {}) {
  const agent = await devices.start('agent', { limits });
  const receiver = await devices.start('receiver', { listen: [], limits });
  devices.pair(agent, receiver);
  const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
  return { agent, receiver, served, dialled };
}

/** The receiver's socket in the hands of somebody who follows no limit. */
async function startUnbound(limits: Partial<LinkLimits> = {}) {
  const agent = await devices.start('agent', { limits });
  const receiver = await devices.start('receiver', { listen: [] });
  agent.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: [] });
  const options = { ...credentials(receiver.identity), ALPNProtocols: [linkAlpn] };
  const { socket } = connectTls(agent.addresses[0] ?? '', options);
  await once(socket, 'secureConnect');
  const webSocket = new WebSocket('ws://agent/', [subprotocol], {
    createConnection: (() => socket) as NonNullable<ClientOptions['createConnection']>,
  });
  webSocket.on('error', () => {});
  await once(webSocket, 'open');
  return { webSocket, served: await agent.nextChannel() };
}

describe('a channel', () => {
  it('knows the public key of the device at its other end, on either side', async () => {
    const { agent, receiver, served, dialled } = await startPair();
    expect(deviceIdOfKey(dialled.peerKey)).toBe(agent.identity.deviceId);
    expect(deviceIdOfKey(served.peerKey)).toBe(receiver.identity.deviceId);
  });

  it('collects the garbage of what it receives every 8 MiB', async () => {
    const { served, dialled } = await startPair();
    let collections = 0;
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { detail: { flags: number } })[]) {
        if ((entry.detail.flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) !== 0) collections += 1;
      }
    });
    observer.observe({ entryTypes: ['gc'] });
    for (let sent = 0; sent < 32; sent += 1) {
      await Promise.all([served.send(Buffer.alloc(MiB)), dialled.receive()]);
    }
    await until('the last collection is told', () => collections >= 4);
    observer.disconnect();
  });

  it('carries messages whole, in order and unchanged, both ways', async () => {
    const { served, dialled } = await startPair();
    const messages = [0, 1, 65_535, 65_536, 4 * MiB, 17].map((size) => randomBytes(size));
    const transfer = async (from: Channel, to: Channel) => {
      const sending = Promise.all(messages.map(async (message) => from.send(message)));
      for (const message of messages) expect((await to.receive())?.equals(message)).toBe(true);
      await sending;
      const total = messages.reduce((sum, message) => sum + message.length, 0);
      expect(from.bytesSent).toBe(total);
      expect(to.bytesReceived).toBe(total);
    };
    await Promise.all([transfer(served, dialled), transfer(dialled, served)]);
  });

  it('stops reading while nobody takes messages, holds no more than its queue, and goes on later', async () => {
    const queueBytes = 2 * MiB;
    const { served, dialled } = await startPair({ receiveQueueBytesMax: queueBytes });
    const message = randomBytes(MiB / 4);
    const count = 400;
    let handedOver = 0;
    const sending = Promise.all(
      Array.from({ length: count }, async () => served.send(message).then(() => (handedOver += 1))),
    );
    await expect.poll(() => dialled.bytesReceived, patient).toBeGreaterThanOrEqual(queueBytes);
    // as far as the kernel's buffers go; then nothing moves
    let before = -1;
    while (before !== handedOver) {
      before = handedOver;
      await delay(100);
    }
    expect(dialled.bytesReceived).toBeLessThan(queueBytes + MiB);
    expect(handedOver).toBeLessThan(count);
    for (let taken = 0; taken < count; taken += 1)
      expect((await dialled.receive())?.length).toBe(message.length);
    await sending;
  });

  it('stays up while this side holds the other one back for longer than the time of silence', async () => {
    const { served, dialled } = await startPair({
      receiveQueueBytesMax: MiB,
      pingIntervalMs: 20,
      idleTimeoutMs: 200,
    });
    let ended = false;
    void Promise.race([served.closed, dialled.closed]).then(() => (ended = true));
    const sending = Promise.all(Array.from({ length: 60 }, async () => served.send(Buffer.alloc(MiB))));
    await delay(1000);
    expect(ended).toBe(false);
    for (let taken = 0; taken < 60; taken += 1) await dialled.receive();
    await sending;
    expect(ended).toBe(false);
  });

  it('stays up while both are silent', async () => {
    const { served, dialled } = await startPair({ pingIntervalMs: 20, idleTimeoutMs: 200 });
    await delay(600);
    await served.send(Buffer.from('still here'));
    expect((await dialled.receive())?.toString()).toBe('still here');
  });

  it('gives what came before an orderly end, then null', async () => {
    const { served, dialled } = await startPair();
    await served.send(Buffer.from('last words'));
    served.close();
    expect(await dialled.closed).toBeNull();
    expect(await served.closed).toBeNull();
    expect((await dialled.receive())?.toString()).toBe('last words');
    expect(await dialled.receive()).toBeNull();
    expect(await served.receive()).toBeNull();
    await expect(dialled.send(Buffer.from('?'))).rejects.toMatchObject({ code: 'LINK_CLOSED' });
  });

  it('ended with a reason says it here, and its code to the other side', async () => {
    const { served, dialled } = await startPair();
    const reason = new CodedError('QUOTA_REACHED', 'the quota is reached');
    served.close(reason);
    expect(await served.closed).toBe(reason);
    expect(await dialled.closed).toMatchObject({
      code: 'LINK_CLOSED',
      message: 'the other side ended the connection: QUOTA_REACHED',
    });
  });

  it('ends in order also where the other side takes nothing', async () => {
    const { served, dialled } = await startPair({ receiveQueueBytesMax: MiB, closeTimeoutMs: 200 });
    const sends = Array.from({ length: 100 }, async () =>
      served.send(Buffer.alloc(MiB)).catch((error: unknown) => error),
    );
    await expect.poll(() => dialled.bytesReceived, patient).toBeGreaterThanOrEqual(MiB);
    served.close();
    served.close();
    expect(await served.closed).toBeNull();
    dialled.close();
    await dialled.closed;
    expect((await Promise.all(sends)).at(-1)).toMatchObject({ code: 'LINK_CLOSED' });
  });
});

describe('a channel ends with PROTOCOL_VIOLATION', () => {
  it('when a message is larger than 4 MiB', async () => {
    const { webSocket, served } = await startUnbound();
    webSocket.send(Buffer.alloc(4 * MiB));
    expect((await served.receive())?.length).toBe(4 * MiB);
    webSocket.send(Buffer.alloc(4 * MiB + 1));
    expect(await served.closed).toMatchObject({ code: 'PROTOCOL_VIOLATION' });
    expect(await served.receive()).toBeNull();
    expect(served.bytesReceived).toBe(4 * MiB);
  });

  it('when a message comes in too many pieces', async () => {
    const { webSocket, served } = await startUnbound();
    for (let piece = 0; piece < 1000; piece += 1) webSocket.send(Buffer.alloc(1), { fin: false });
    expect(await served.closed).toMatchObject({ code: 'PROTOCOL_VIOLATION' });
  });

  it('when a message is text', async () => {
    const { webSocket, served } = await startUnbound();
    webSocket.send('text');
    expect(await served.closed).toMatchObject({ code: 'PROTOCOL_VIOLATION' });
    expect(await served.receive()).toBeNull();
  });

  it('when what comes is no WebSocket frame', async () => {
    const { webSocket, served } = await startUnbound({ closeTimeoutMs: 100 });
    // ws gives no other way to its socket
    const { _socket: socket } = webSocket as unknown as { _socket: NodeJS.WritableStream };
    socket.write(Buffer.alloc(5000, 0xff));
    expect(await served.closed).toMatchObject({ code: 'PROTOCOL_VIOLATION' });
  });
});

describe('a link over which nothing passes any more', () => {
  it('ends on both sides with LINK_TIMEOUT, and is made anew when something does', async () => {
    const limits = { pingIntervalMs: 20, idleTimeoutMs: 200, dialTimeoutMs: 2000 };
    const agent = await devices.start('agent', { limits });
    const receiver = await devices.start('receiver', { listen: [], limits });
    const { relay, address } = await TcpRelay.start(agent.addresses[0] ?? '');
    relays.push(relay);
    agent.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: [] });
    receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses: [address] });
    const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
    relay.swallow();
    expect(await dialled.closed).toMatchObject({ code: 'LINK_TIMEOUT' });
    expect(await served.closed).toMatchObject({ code: 'LINK_TIMEOUT' });
    relay.pass();
    const [servedAgain, dialledAgain] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
    await servedAgain.send(Buffer.from('again'));
    expect((await dialledAgain.receive())?.toString()).toBe('again');
  });

  it('is replaced when the other side dials anew before this one has noticed', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', {
      listen: [],
      limits: { pingIntervalMs: 20, idleTimeoutMs: 200, dialTimeoutMs: 2000 },
    });
    const { relay, address } = await TcpRelay.start(agent.addresses[0] ?? '');
    relays.push(relay);
    agent.book.pair({ deviceId: receiver.identity.deviceId, grant: replica, addresses: [] });
    receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses: [address] });
    const [halfDead] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
    relay.swallow();
    relay.pass();
    const served = await agent.nextChannel();
    expect(await halfDead.closed).toMatchObject({ code: 'LINK_CLOSED' });
    const dialled = await receiver.nextChannel();
    await dialled.send(Buffer.from('new'));
    expect((await served.receive())?.toString()).toBe('new');
  });
});
