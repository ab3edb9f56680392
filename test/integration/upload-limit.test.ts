import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it, onTestFinished } from 'vitest';
import { UploadLimiter } from '../../agent/upload/upload-limiter.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { decodeMessage } from '../../shared/protocol/codec.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { FakeFolderFeed } from '../support/fake-folder-feed.ts';
import { FakeMirrorStore } from '../support/fake-mirror-store.ts';
import { LinkDevices } from '../support/link-devices.ts';
import { formatEndpoint, LinkProxy } from '../support/link-proxy.ts';
import { ReplicationLink } from '../support/replication-bench.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { Workbench } from '../support/workbench.ts';
import { until } from '../support/until.ts';

const kib = 1024;
const mib = 1024 * kib;
const devices = new LinkDevices();

afterEach(async () => devices.stop());

function limiterOf(total: number): UploadLimiter {
  const limiter = new UploadLimiter(
    {
      now: () => Date.now(),
      steadyNow: () => performance.now(),
      after: (ms, callback) => {
        const timer = setTimeout(callback, ms);
        return () => clearTimeout(timer);
      },
    },
    { total, perReceiver: null, receivers: [], schedule: [] },
  );
  onTestFinished(() => limiter.stop());
  return limiter;
}

/** A receiver's link to an agent, over TLS and a proxy that counts. */
async function realLink() {
  const agent = await devices.start('agent');
  const receiver = await devices.start('receiver', { listen: [] });
  const [hostAndPort = ''] = agent.addresses;
  const proxy = await LinkProxy.start({ host: '127.0.0.1', port: Number(hostAndPort.split(':').at(-1)) });
  onTestFinished(async () => proxy.stop());
  const grant = { role: 'replica' } as const;
  agent.book.pair({ deviceId: receiver.identity.deviceId, grant, addresses: [] });
  const addresses = [formatEndpoint(proxy.endpoint)];
  receiver.book.pair({ deviceId: agent.identity.deviceId, grant, addresses });
  const [agentSide, receiverSide] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
  return { proxy, agentSide, receiverSide };
}

it('puts no more on a link than the limit allows, and lets new media pass beside a dump', async () => {
  const { proxy, agentSide, receiverSide } = await realLink();
  const feeds = [new FakeFolderFeed('database'), new FakeFolderFeed('media')] as const;
  const [database, media] = feeds;
  const stores = new Map([
    ['database', new FakeMirrorStore()],
    ['media', new FakeMirrorStore()],
  ]);
  const has = (folder: string, name: string): boolean =>
    stores.get(folder)?.files.has(parseTypedPath(name)) === true;
  const rate = 2 * mib;
  database.write('dump', seededBytes('dump', 3 * mib));
  database.scan();
  media.scan();
  const startedAt = performance.now();
  const startedBytes = proxy.bytes.down;
  const pace = limiterOf(rate / kib).pace(agentSide.peerId);
  const link = new ReplicationLink({ feeds, stores }, { channels: [agentSide, receiverSide], pace });
  await proxy.passed('down', 500 * kib);
  media.write('picture', seededBytes('picture', 40 * kib));
  media.scan();
  await until('the picture came', () => has('media', 'picture'));
  expect(has('database', 'dump')).toBe(false);
  await until('the dump came', () => has('database', 'dump'));
  const sent = proxy.bytes.down - startedBytes;
  const elapsedMs = performance.now() - startedAt;
  expect(sent).toBeGreaterThan(3 * mib);
  // half a second may go at once; TLS and the WebSocket add their frames
  expect(sent).toBeLessThan(((rate * elapsedMs) / 1000 + rate / 2) * 1.01 + 16 * kib);
  await link.close();
});

it('lets records and content wait for their turn, and counts whatever is said', async () => {
  const media = new FakeFolderFeed('media');
  media.checkpointRecords = 50;
  media.batchRecords = 50;
  for (let file = 0; file < 200; file++) media.write(`file ${file}`, `${file}`);
  media.scan();
  const claims: number[] = [];
  let counted = 0;
  const told = { all: 0, paced: [] as number[] };
  const link = new ReplicationLink(
    { feeds: [media], stores: new Map([['media', new FakeMirrorStore()]]) },
    {
      pace: {
        claim: async (bytes) => {
          claims.push(bytes);
          return bytes;
        },
        sent: (_claimed, bytes) => void (counted += bytes),
        end: () => {},
      },
      onMessage: (message, direction) => {
        const { type } = decodeMessage(message);
        if (direction === 'second-to-first' || type === 'hello') return message;
        told.all += message.length;
        if (type === 'records') told.paced.push(message.length);
        return message;
      },
    },
  );
  await until('all is durable', () => link.count('indexEnd') === 1);
  await link.close();
  expect(told.paced.length).toBeGreaterThan(2);
  expect(claims).toEqual(expect.arrayContaining(told.paced));
  expect(claims.length).toBe(told.paced.length + link.count('content'));
  expect(counted).toBe(told.all);
});

it('ends with its link, whatever still waits for its turn', async () => {
  const media = new FakeFolderFeed('media');
  media.write('file', seededBytes('file', 100 * kib));
  media.scan();
  const pace = limiterOf(1024).pace('SECOND' as DeviceId);
  let asked = false;
  const link = new ReplicationLink(
    { feeds: [media], stores: new Map([['media', new FakeMirrorStore()]]) },
    {
      pace,
      onMessage: (message, direction) => {
        if (direction === 'second-to-first' && decodeMessage(message).type === 'want') {
          asked = true;
          // so much went out before that the content would wait for days
          pace.sent(0, 1024 ** 4);
        }
        return message;
      },
    },
  );
  await until('the receiver asked for the content', () => asked);
  await new Promise((resolve) => setImmediate(resolve));
  link.serve.stop();
  expect(await link.ended).toMatchObject({ agent: null });
});

it('holds a running agent to its configuration, and "status" tells', async () => {
  const bench = await Workbench.create('upload', { proxySeed: 1 });
  onTestFinished(async () => bench.dispose());
  const file = path.join(bench.agent.home, 'agent.yaml');
  const text = fs.readFileSync(file, 'utf8');
  const limits = '  total: 64\n  perReceiver: 4000\n';
  fs.writeFileSync(file, text.replace('  total: off\n  perReceiver: off\n', limits));
  fs.writeFileSync(path.join(bench.source, 'file'), seededBytes('file', 192 * kib));
  await bench.startPaired();
  const startedAt = performance.now();
  const { proxy } = bench;
  const startedBytes = proxy?.bytes.down ?? 0;
  await bench.settled();
  const elapsedMs = performance.now() - startedAt;
  const sent = (proxy?.bytes.down ?? 0) - startedBytes;
  // what went before the counting began was limited too; half a second may go at once
  expect(sent).toBeLessThan(((64 * kib * elapsedMs) / 1000 + 32 * kib) * 1.05 + 16 * kib);
  expect(await bench.agent.status()).toMatchObject({
    upload: { totalKibPerSecond: 64, period: null },
    receivers: [{ uploadKibPerSecond: 4000 }],
  });
});
