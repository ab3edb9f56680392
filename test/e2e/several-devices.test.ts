import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { currentDirectory, Device, type Agent, type Receiver } from '../support/device.ts';
import { formatEndpoint, freePort } from '../support/link-proxy.ts';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { until } from '../support/until.ts';
import { Workbench } from '../support/workbench.ts';

const asStored = { modes: false, times: false, links: false, emptyDirectories: false };

let bench: Workbench;

beforeEach(async () => {
  bench = await Workbench.create('several', { receiverListens: true });
});

afterEach(async () => {
  await bench.dispose();
});

it('keeps two agents on one receiver apart, also where they have the same paths and the same content', async () => {
  const tree = MastodonTree.make(bench.source, { seed: 'first', files: 150 });
  const [second, secondSource] = await secondAgent();
  const secondTree = MastodonTree.make(secondSource, { seed: 'second', files: 100 });
  const shared = tree.attachments[0]?.files[0] ?? '';
  fs.mkdirSync(path.dirname(path.join(secondSource, shared)), { recursive: true });
  fs.writeFileSync(path.join(secondSource, shared), 'another file under the same path');
  fs.copyFileSync(path.join(bench.source, shared), path.join(secondSource, 'same-content'));
  await bench.startPaired();
  await second.start();
  await bench.receiver.must(['join', await second.invite()]);
  await bench.settled();
  await second.must(['wait', '--timeout', '300']);

  const secondId = await second.id();
  const secondCurrent = currentDirectory(bench.data, secondId);
  expect(formatDifferences(compareTrees(bench.source, bench.current, asStored).differences)).toBe('');
  expect(formatDifferences(compareTrees(secondSource, secondCurrent, asStored).differences)).toBe('');
  const status = await bench.receiver.status();
  expect(status.agents.map((agent) => agent.deviceId).sort()).toEqual([bench.agentId, secondId].sort());
  for (const agent of status.agents) expect(agent.connected).toBe(true);

  // What one deletes does not touch the other.
  for (const attachment of secondTree.attachments.slice(0, 5)) secondTree.deleteAttachment(attachment);
  await second.must(['wait', '--timeout', '300']);
  expect(formatDifferences(compareTrees(bench.source, bench.current, asStored).differences)).toBe('');

  // A restore grant for one reads nothing of the other, and says so where two are possible.
  const vague = await bench.receiver.run(['invite', '--role', 'restore']);
  expect(vague.code).toBe(2);
  const invitation = await bench.receiver.invite(['--role', 'restore', '--agent', secondId]);
  const restored = path.join(bench.directory, 'restored');
  const foreign = await restorer('foreign').run(
    restoreArgs(invitation, path.join(bench.directory, 'foreign'), ['--agent', bench.agentId]),
  );
  expect(foreign.code).not.toBe(0);
  expect(fs.existsSync(path.join(bench.directory, 'foreign', 'media'))).toBe(false);
  const again = await bench.receiver.invite(['--role', 'restore', '--agent', secondId]);
  const short = ['--agent', secondId.slice(0, 9).toLowerCase()];
  const own = await restorer('own').run(restoreArgs(again, restored, short));
  expect(own.code, own.stderr).toBe(0);
  expect(formatDifferences(compareTrees(secondSource, path.join(restored, 'media')).differences)).toBe('');
});

it('refuses more than the quota, tells both sides, evicts nothing, and goes on when there is room', async () => {
  const tree = MastodonTree.make(bench.source, { seed: 'quota', files: 60, medianBytes: 5000 });
  const config = path.join(bench.receiver.home, 'receiver.yaml');
  const unlimited = fs.readFileSync(config, 'utf8');
  fs.writeFileSync(config, unlimited.replace(/^quota: .*$/m, 'quota: 2 MB'));
  await bench.startPaired();
  await bench.settled();
  expect((await bench.receiver.status()).agents[0]?.quotaBytes).toBe(2_000_000);

  const big = tree.writeFile('too-big.bin', 3_000_000);
  const waited = await bench.agent.run(['wait', '--timeout', '8']);
  expect(waited.code, waited.stderr).toBe(4);
  expect(fs.existsSync(path.join(bench.current, big))).toBe(false);
  await until('the receiver alarms', async () =>
    alarmCodes(await bench.receiver.status()).includes('QUOTA_REACHED'),
  );
  await until('the agent alarms', async () =>
    alarmCodes(await bench.agent.status()).includes('QUOTA_REACHED'),
  );
  expect(compareTrees(bench.current, bench.source, asStored).differences.map(({ path }) => path)).toEqual([
    big,
  ]);

  expect(await bench.receiver.stop()).toBe(0);
  fs.writeFileSync(config, unlimited);
  await bench.receiver.start();
  await bench.settled();
  expect(formatDifferences(compareTrees(bench.source, bench.current, asStored).differences)).toBe('');
  await until(
    'the alarm of the agent is over',
    async () => !alarmCodes(await bench.agent.status()).includes('QUOTA_REACHED'),
  );
});

it('replicates to two receivers, and waits for as many copies as it is asked to', async () => {
  MastodonTree.make(bench.source, { seed: 'two receivers', files: 100 });
  const other: Receiver = new Device('receiver', path.join(bench.directory, 'other-receiver'));
  const otherData = path.join(bench.directory, 'other-data');
  await bench.initReceiver(other, otherData, false);
  await bench.startPaired();
  const early = await bench.agent.run(['wait', '--copies', '2', '--timeout', '3']);
  expect(early.code).toBe(4);
  await other.start();
  await bench.pair(other);
  await bench.settled({ copies: 2 });
  const otherCurrent = currentDirectory(otherData, bench.agentId);
  expect(formatDifferences(compareTrees(bench.source, otherCurrent, asStored).differences)).toBe('');
  expect((await bench.agent.status()).receivers.length).toBe(2);
});

it('ends a live connection at once when one side unpairs, and keeps the data', async () => {
  const tree = MastodonTree.make(bench.source, { seed: 'unpair', files: 50 });
  await bench.startPaired();
  await bench.settled();
  await bench.receiver.must(['unpair', bench.agentId]);
  await until('the agent sees the end', async () => {
    const status = await bench.agent.status();
    return status.receivers.every((receiver) => !receiver.connected);
  });
  const file = tree.addUpload().files[0] ?? '';
  const waited = await bench.agent.run(['wait', '--timeout', '3']);
  expect(waited.code).toBe(4);
  expect(fs.existsSync(path.join(bench.current, file))).toBe(false);
  expect(fs.existsSync(path.join(bench.current, tree.attachments[0]?.files[0] ?? ''))).toBe(true);
  await bench.pair(bench.receiver);
  await bench.settled();
  expect(formatDifferences(compareTrees(bench.source, bench.current, asStored).differences)).toBe('');
});

it('goes on after the certificates of both devices were renewed, without pairing again', async () => {
  const tree = MastodonTree.make(bench.source, { seed: 'renewed', files: 20 });
  await bench.startPaired();
  await bench.settled();
  for (const device of [bench.agent, bench.receiver]) {
    const file = path.join(device.home, 'identity', 'cert.pem');
    const [id, certificate] = [await device.id(), fs.readFileSync(file, 'utf8')];
    await device.stop();
    // also one that cannot be read any more
    if (device === bench.receiver) fs.writeFileSync(file, 'damaged');
    expect((await device.must(['id', '--renew-certificate'])).trim()).toBe(id);
    expect(fs.readFileSync(file, 'utf8')).toContain('BEGIN CERTIFICATE');
    expect(fs.readFileSync(file, 'utf8')).not.toBe(certificate);
    await device.start();
  }
  tree.addUpload();
  await bench.settled();
  expect(formatDifferences(compareTrees(bench.source, bench.current, asStored).differences)).toBe('');
});

it('works the other way round and over IPv6: the receiver listens and the agent joins', async () => {
  MastodonTree.make(bench.source, { seed: 'other way', files: 50 });
  const receiver: Receiver = new Device('receiver', path.join(bench.directory, 'ipv6-receiver'));
  const data = path.join(bench.directory, 'ipv6-data');
  const listen = formatEndpoint({ host: '::1', port: await freePort('::1') });
  await receiver.must(['init', '--yes', '--data', data, '--listen', listen]);
  await Promise.all([bench.agent.start(), receiver.start()]);
  await bench.agent.must(['join', await receiver.invite()]);
  await bench.settled();
  const current = currentDirectory(data, bench.agentId);
  expect(formatDifferences(compareTrees(bench.source, current, asStored).differences)).toBe('');
});

async function secondAgent(): Promise<[Agent, string]> {
  const agent: Agent = new Device('agent', path.join(bench.directory, 'second-agent'));
  const source = path.join(bench.directory, 'second-source');
  fs.mkdirSync(source);
  const listen = formatEndpoint({ host: '127.0.0.1', port: await freePort() });
  await agent.must(['init', '--yes', '--listen', listen, '--advertise', listen]);
  await agent.must(['folder', 'add', 'media', '--kind', 'mirror', '--path', source]);
  return [agent, source];
}

function restorer(name: string): Agent {
  return new Device('agent', path.join(bench.directory, `restorer-${name}`));
}

function restoreArgs(invitation: string, target: string, more: readonly string[] = []): string[] {
  return ['restore', '--from', invitation, '--to', target, ...more];
}

function alarmCodes(status: { alarms: { code: string }[] }): string[] {
  return status.alarms.map((alarm) => alarm.code);
}
