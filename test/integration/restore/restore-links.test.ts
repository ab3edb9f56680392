import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  prepareRestoreHome,
  RestoreConnection,
  type RestoreRoute,
} from '../../../agent/restore/restore-connection.ts';
import type { RestoreResult, RunRestoreOptions } from '../../../agent/restore/run-restore.ts';
import type { MirrorStore } from '../../../receiver/store/mirror-store.ts';
import { createDeviceIdentity } from '../../../shared/identity/device-identity.ts';
import { parseTypedDeviceId, type DeviceId } from '../../../shared/identity/device-id.ts';
import { homeAt } from '../../../shared/io/home.ts';
import { silentLogger } from '../../../shared/io/logger.ts';
import { parseAddress } from '../../../shared/link/address.ts';
import { joinInvitation } from '../../../shared/link/pairing.ts';
import { parseInvitation } from '../../../shared/link/invitation.ts';
import { testLimits } from '../../support/link-devices.ts';
import { freePort, LinkProxy } from '../../support/link-proxy.ts';
import { makeOddFiles } from '../../support/odd-files.ts';
import { restoreFrom } from '../../support/restore-bench.ts';
import {
  inviteToRestore,
  type RestoreReceiver,
  startRestoreReceiver,
  storeTree,
} from '../../support/restore-receiver.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { sha256, storeFixture } from '../../support/store-fixture.ts';
import { compareTrees, formatDifferences } from '../../support/tree-compare.ts';

const mib = 1024 * 1024;
let bench: string;
let source: string;
let to: string;
let store: MirrorStore;
let otherStore: MirrorStore;
let receiver: RestoreReceiver;
let agentId: DeviceId;
let otherAgentId: DeviceId;

beforeEach(async () => {
  bench = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-restore-links-'));
  source = path.join(bench, 'source');
  to = path.join(bench, 'to');
  makeOddFiles(source);
  for (let at = 0; at < 200; at += 1) {
    fs.mkdirSync(path.join(source, `media/${at % 17}/original`), { recursive: true });
    fs.writeFileSync(
      path.join(source, `media/${at % 17}/original/${at}.png`),
      seededBytes(`${at}`, 5000 + at),
    );
  }
  fs.writeFileSync(path.join(source, 'video.mp4'), seededBytes('video', 8 * mib));
  store = await storeFixture(path.join(bench, 'one')).open();
  otherStore = await storeFixture(path.join(bench, 'two')).open();
  for (const name of ['a', 'b']) fs.mkdirSync(path.join(bench, name));
  agentId = (await createDeviceIdentity(path.join(bench, 'a'))).deviceId;
  otherAgentId = (await createDeviceIdentity(path.join(bench, 'b'))).deviceId;
  await storeTree(store, source);
  const other = path.join(bench, 'other-source');
  fs.mkdirSync(other);
  fs.writeFileSync(path.join(other, 'secret'), 'of another agent');
  await storeTree(otherStore, other);
});
afterEach(async () => {
  await receiver.links.stop();
  await store.close();
  await otherStore.close();
  fs.rmSync(bench, { recursive: true, force: true });
});

const homeOf = (name: string) => homeAt(path.join(bench, name), 'agent.yaml');

async function restoreBy(
  route: RestoreRoute,
  options: Partial<RunRestoreOptions> = {},
  more: { home?: string; onInvitation?: (invitation: string) => void } = {},
): Promise<RestoreResult> {
  const connection = await RestoreConnection.open(
    {
      logger: silentLogger,
      onNote: () => {},
      onInvitation: more.onInvitation ?? (() => {}),
      machineAddresses: () => ['127.0.0.1'],
      now: Date.now,
    },
    { agentHome: homeOf(more.home ?? 'new-home'), route, limits: testLimits },
  );
  try {
    return await restoreFrom(connection, { to, ...options });
  } finally {
    await connection.stop();
  }
}

const inviteRestore = (whose = agentId): string => inviteToRestore(receiver, whose);
const startReceiver = (listen: boolean): Promise<RestoreReceiver> =>
  startRestoreReceiver(
    bench,
    new Map([
      [agentId, new Map([['media', store]])],
      [otherAgentId, new Map([['media', otherStore]])],
    ]),
    { listen },
  );

const expectSameTree = (): void => {
  const owners = process.getuid?.() === 0;
  expect(formatDifferences(compareTrees(source, path.join(to, 'media'), { owners }).differences)).toBe('');
};

it('dials a receiver by its invitation, from a home that nobody initialised', async () => {
  receiver = await startReceiver(true);
  const result = await restoreBy({ from: inviteRestore(), agent: null });
  expect(result).toMatchObject({ agent: agentId, folders: [{ id: 'media', failed: [] }] });
  expectSameTree();
  expect(fs.readdirSync(path.join(bench, 'new-home'))).toEqual(['restore']);
});

it('goes on with the invitation that the same home has used already, and with no other home', async () => {
  receiver = await startReceiver(true);
  const from = inviteRestore();
  await restoreBy({ from, agent: null });
  const again = await restoreBy({ from, agent: null });
  expect(again.folders[0]).toMatchObject({ files: 0, failed: [] });
  await expect(restoreBy({ from, agent: null }, {}, { home: 'thief' })).rejects.toMatchObject({
    code: 'INVITATION_REFUSED',
  });
});

it('listens for a receiver that has no listening socket and joins', async () => {
  receiver = await startReceiver(false);
  const route = { listen: parseAddress('127.0.0.1:0'), advertise: [], agent: null };
  const onInvitation = (text: string): void => {
    const options = { addresses: [], agentId, limits: testLimits, signal: AbortSignal.timeout(120_000) };
    void joinInvitation(receiver, parseInvitation(text), options);
  };
  const result = await restoreBy(route, {}, { onInvitation });
  expect(result).toMatchObject({ agent: agentId, folders: [{ id: 'media', failed: [] }] });
  expectSameTree();
});

it('takes nothing from a receiver that joins with the data of another agent than the one that was named', async () => {
  receiver = await startReceiver(false);
  const route = {
    listen: parseAddress('127.0.0.1:0'),
    advertise: [],
    agent: parseTypedDeviceId(otherAgentId),
  };
  const onInvitation = (text: string): void => {
    const options = { addresses: [], agentId, limits: testLimits, signal: AbortSignal.timeout(120_000) };
    void joinInvitation(receiver, parseInvitation(text), options);
  };
  await expect(restoreBy(route, {}, { onInvitation })).rejects.toMatchObject({ code: 'ROLE_REFUSED' });
  expect(fs.existsSync(to)).toBe(false);
});

it('goes on, listening again, with a receiver that has joined before, though that listens too', async () => {
  receiver = await startReceiver(true);
  const listen = parseAddress(`127.0.0.1:${await freePort()}`);
  const route = { listen, advertise: [], agent: null };
  const onInvitation = (text: string): void => {
    const { addresses } = receiver;
    const options = { addresses, agentId, limits: testLimits, signal: AbortSignal.timeout(120_000) };
    void joinInvitation(receiver, parseInvitation(text), options);
  };
  await restoreBy(route, {}, { onInvitation });
  const again = await restoreBy(route);
  expect(again.folders).toMatchObject([{ id: 'media', files: 0, failed: [] }]);
});

it('says why a target cannot be used', async () => {
  receiver = await startReceiver(true);
  const from = inviteRestore();
  fs.writeFileSync(to, 'a file');
  await expect(restoreBy({ from, agent: null })).rejects.toMatchObject({
    code: 'TARGET_UNUSABLE',
    message: expect.stringContaining('(ENOTDIR)') as string,
  });
});

it('is one device when two are begun at once on a new home: the other one is refused', async () => {
  const begun = [0, 1, 2].map(async () => prepareRestoreHome(homeOf('new-home')));
  const [first, ...refused] = (await Promise.allSettled(begun)).toSorted((a, b) =>
    a.status < b.status ? -1 : 1,
  );
  expect(refused.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(refused).toMatchObject([{ reason: { code: 'ALREADY_RUNNING' } }, {}]);
  const made = first?.status === 'fulfilled' ? first.value : null;
  made?.lock.release();
  const again = await prepareRestoreHome(homeOf('new-home'));
  again.lock.release();
  expect(again.identity).toEqual(made?.identity);
});

it('dials a receiver that was paired by ID', async () => {
  receiver = await startReceiver(true);
  const { identity, lock } = await prepareRestoreHome(homeOf('new-home'));
  lock.release();
  receiver.book.pair({ deviceId: identity.deviceId, grant: { role: 'restore', agentId }, addresses: [] });
  const from = `${receiver.identity.deviceId}@${receiver.addresses[0]}`;
  expect(await restoreBy({ from, agent: parseTypedDeviceId(agentId) })).toMatchObject({
    agent: agentId,
    folders: [{ failed: [] }],
  });
  expectSameTree();
});

it('reads the data of the granted agent and no other', async () => {
  receiver = await startReceiver(true);
  await expect(
    restoreBy({ from: inviteRestore(), agent: parseTypedDeviceId(otherAgentId) }),
  ).rejects.toMatchObject({
    code: 'ROLE_REFUSED',
  });
  await restoreBy({ from: inviteRestore(otherAgentId), agent: null });
  expect(fs.readdirSync(path.join(to, 'media'))).toEqual(['secret']);
});

it('takes the beginning of an ID where the receiver says whose data it gives', async () => {
  receiver = await startReceiver(true);
  const [short, other] = [agentId, otherAgentId].map((id) =>
    parseTypedDeviceId(id.slice(0, 7).toLowerCase()),
  );
  if (short === undefined || other === undefined) throw new Error('no IDs');
  await expect(restoreBy({ from: inviteRestore(), agent: other })).rejects.toMatchObject({
    code: 'ROLE_REFUSED',
    message: `the invitation is for the data of ${agentId}, not of ${other.text}`,
  });
  expect(await restoreBy({ from: inviteRestore(), agent: short })).toMatchObject({ agent: agentId });
});

it('takes the beginning of an ID where it listens, and nothing of another agent', async () => {
  receiver = await startReceiver(false);
  const route = (whose: DeviceId): RestoreRoute => ({
    listen: parseAddress('127.0.0.1:0'),
    advertise: [],
    agent: parseTypedDeviceId(whose.slice(0, 9)),
  });
  const onInvitation = (text: string): void => {
    const options = { addresses: [], agentId, limits: testLimits, signal: AbortSignal.timeout(120_000) };
    void joinInvitation(receiver, parseInvitation(text), options);
  };
  await expect(restoreBy(route(otherAgentId), {}, { onInvitation, home: 'b' })).rejects.toMatchObject({
    code: 'ROLE_REFUSED',
    message: `the receiver offers the data of ${agentId}, not of ${otherAgentId.slice(0, 9)}`,
  });
  expect(await restoreBy(route(agentId), {}, { onInvitation })).toMatchObject({ agent: agentId });
});

it('asks for the whole ID where the receiver does not say whose data it gives, until one was named', async () => {
  receiver = await startReceiver(true);
  const { identity, lock } = await prepareRestoreHome(homeOf('new-home'));
  lock.release();
  receiver.book.pair({ deviceId: identity.deviceId, grant: { role: 'restore', agentId }, addresses: [] });
  const [receiverId, address] = [receiver.identity.deviceId, receiver.addresses[0]];
  const short = parseTypedDeviceId(agentId.slice(0, 7));
  await expect(
    restoreBy({ from: `${receiverId.slice(0, 7)}@${address}`, agent: null }),
  ).rejects.toMatchObject({
    code: 'DEVICE_ID_INVALID',
  });
  await expect(restoreBy({ from: `${receiverId}@${address}`, agent: short })).rejects.toMatchObject({
    code: 'DEVICE_ID_INVALID',
    hint: expect.stringContaining('write the whole ID') as unknown,
  });
  await restoreBy({ from: `${receiverId}@${address}`, agent: parseTypedDeviceId(agentId) });
  const again = await restoreBy({ from: `${receiverId.slice(0, 7)}@${address}`, agent: short });
  expect(again).toMatchObject({ agent: agentId, folders: [{ failed: [] }] });
});

it('ends with the same tree although the connection is cut again and again', async () => {
  receiver = await startReceiver(true);
  const { host, port } = parseAddress(receiver.addresses[0] ?? '');
  const proxy = await LinkProxy.start({ host, port });
  const from = inviteToRestore(receiver, agentId, `127.0.0.1:${proxy.endpoint.port}`);
  const over = { done: false };
  let cuts = 0;
  const cutting = (async () => {
    // Pairing goes over a connection of its own.
    await proxy.passed('down', 5000);
    proxy.bytesPerSecond = 20 * mib;
    while (!over.done && cuts < 10) {
      await Promise.race([
        proxy.passed('down', 1.6 * mib),
        new Promise((resolve) => setTimeout(resolve, 3000).unref()),
      ]);
      proxy.cut();
      cuts += 1;
    }
  })();
  const result = await restoreBy({ from, agent: null }, { patienceMs: 60_000 });
  over.done = true;
  proxy.cut();
  await proxy.stop();
  void cutting;
  expect(result.folders[0]?.failed).toEqual([]);
  expect(cuts).toBeGreaterThanOrEqual(4);
  expectSameTree();
});

it('restores the state before changes, deletions and changed modes', async () => {
  receiver = await startReceiver(true);
  const before = path.join(bench, 'before');
  fs.cpSync(source, before, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  await new Promise((resolve) => setTimeout(resolve, 20));
  const at = Date.now();
  await new Promise((resolve) => setTimeout(resolve, 20));
  fs.writeFileSync(path.join(source, 'video.mp4'), seededBytes('another', 3 * mib));
  fs.writeFileSync(path.join(source, 'new'), 'new');
  await storeTree(store, source, 100_000);
  await restoreBy({ from: inviteRestore(), agent: null }, { at });
  expect(fs.existsSync(path.join(to, 'media/new'))).toBe(false);
  expect(sha256(fs.readFileSync(path.join(to, 'media/video.mp4')))).toEqual(
    sha256(seededBytes('video', 8 * mib)),
  );
  await restoreBy({ from: inviteRestore(), agent: null }, { inPlace: true });
  expectSameTree();
});

it('restores the latest state also when the receiver clock has gone back', async () => {
  receiver = await startReceiver(true);
  const future = await storeFixture(path.join(bench, 'three'), { now: () => Date.now() + 3_600_000 }).open();
  await storeTree(future, source);
  await store.close();
  store = future;
  await receiver.links.stop();
  receiver = await startReceiver(true);
  await restoreBy({ from: inviteRestore(), agent: null });
  expectSameTree();
});

it('allows one restore at a time on a home', async () => {
  receiver = await startReceiver(true);
  const route = { listen: parseAddress('127.0.0.1:0'), advertise: [], agent: null };
  let second: Promise<unknown> | undefined;
  const onInvitation = (text: string): void => {
    second = restoreBy({ from: inviteRestore(), agent: null }).catch((error: unknown) => error);
    const options = { addresses: [], agentId, limits: testLimits, signal: AbortSignal.timeout(120_000) };
    void second.then(async () => joinInvitation(receiver, parseInvitation(text), options));
  };
  await restoreBy(route, {}, { onInvitation });
  expect(await second).toMatchObject({ code: 'ALREADY_RUNNING' });
});
