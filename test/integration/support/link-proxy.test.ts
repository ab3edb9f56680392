import { once } from 'node:events';
import net from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freePort, LinkProxy, formatEndpoint } from '../../support/link-proxy.ts';
import { until } from '../../support/until.ts';

let echo: net.Server;
let proxy: LinkProxy;
let client: net.Socket;
let received: Buffer[];

beforeEach(async () => {
  echo = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  const port = await freePort();
  echo.listen(port, '127.0.0.1');
  await once(echo, 'listening');
  proxy = await LinkProxy.start({ host: '127.0.0.1', port }, { seed: 'proxy' });
  received = [];
  client = await dial();
});

afterEach(async () => {
  client.destroy();
  await proxy.stop();
  echo.close();
});

async function dial(): Promise<net.Socket> {
  const socket = net.connect(proxy.endpoint.port, proxy.endpoint.host);
  socket.on('error', () => {});
  socket.on('data', (bytes: Buffer) => received.push(bytes));
  await once(socket, 'connect');
  return socket;
}

const receivedBytes = (): Buffer => Buffer.concat(received);

it('passes bytes on unchanged and counts them both ways', async () => {
  const passed = proxy.passed('down', 300_000);
  client.write(Buffer.alloc(300_000, 'a'));
  await passed;
  await until('the echo', () => receivedBytes().length === 300_000);
  expect(receivedBytes().equals(Buffer.alloc(300_000, 'a'))).toBe(true);
  expect(proxy.bytes).toEqual({ up: 300_000, down: 300_000 });
  expect(proxy.connections).toBe(1);
});

it('cuts at once, and takes new connections after a cut but not when severed', async () => {
  proxy.cut();
  await until('the end', () => client.closed);
  client = await dial();
  client.write('again');
  await until('the echo', () => receivedBytes().toString() === 'again');
  proxy.sever();
  await until('the end', () => client.closed);
  const refused = net.connect(proxy.endpoint.port, proxy.endpoint.host).on('error', () => {});
  await until('the refusal', () => refused.closed);
  expect(proxy.connections).toBe(2);
});

it('falls silent without closing anything', async () => {
  client.write('one');
  await until('the echo', () => receivedBytes().toString() === 'one');
  proxy.fallSilent();
  client.write('two');
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(receivedBytes().toString()).toBe('one');
  expect(client.destroyed).toBe(false);
  expect(proxy.openConnections).toBe(1);
});

it('throttles', async () => {
  proxy.bytesPerSecond = 200_000;
  const before = performance.now();
  client.write(Buffer.alloc(40_000));
  await until('the echo', () => receivedBytes().length === 40_000);
  expect(performance.now() - before).toBeGreaterThan(350);
});

it('lets no end overtake the last piece', async () => {
  proxy.bytesPerSecond = 100_000;
  client.end(Buffer.alloc(10_000, 1));
  await until('the end of the echo', () => client.readableEnded);
  expect(receivedBytes()).toHaveLength(10_000);
});

it('flips exactly one bit when asked to corrupt', async () => {
  proxy.corruptAfter(5);
  client.write(Buffer.alloc(100));
  await until('the echo', () => receivedBytes().length === 100);
  const ones = [...receivedBytes()].reduce(
    (sum, byte) => sum + byte.toString(2).replaceAll('0', '').length,
    0,
  );
  expect(ones).toBe(1);
});

it('writes IPv6 endpoints in brackets', () => {
  expect(formatEndpoint({ host: '::1', port: 1 })).toBe('[::1]:1');
  expect(formatEndpoint({ host: '127.0.0.1', port: 1 })).toBe('127.0.0.1:1');
});
