import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PointListing } from '../../shared/cli/point-listing.ts';
import { Device, type Agent } from '../support/device.ts';
import { formatEndpoint, freePort, LinkProxy } from '../support/link-proxy.ts';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { until } from '../support/until.ts';
import { Workbench } from '../support/workbench.ts';

const host = '127.0.0.1';
/** Records of the files, handshakes and a first dump of one small file. */
const indexBytesMax = 300_000;
const asRestored = { modes: false, times: false, links: false, emptyDirectories: false };

let bench: Workbench;
let passphraseFile: string;
let rebuilt: Agent;
let proxy: LinkProxy;
let secret: string;

beforeAll(async () => {
  passphraseFile = path.join(temporaryDirectory(), 'passphrase');
  fs.writeFileSync(passphraseFile, 'eight words that nobody else ever put together\n', { mode: 0o600 });
  const agentInit = ['--passphrase-file', passphraseFile];
  bench = await Workbench.create('succeed', { receiverListens: true, agentInit });
  const listen = { host, port: await freePort() };
  proxy = await LinkProxy.start(listen, { host, seed: 'succeed' });
  rebuilt = new Device('agent', path.join(bench.directory, 'rebuilt'));
  const addresses = ['--listen', formatEndpoint(listen), '--advertise', formatEndpoint(proxy.endpoint)];
  await rebuilt.must(['init', '--yes', ...addresses, ...agentInit]);
  secret = path.join(bench.directory, '.env.production');
  fs.writeFileSync(secret, 'SECRET_KEY_BASE=1\n');
});

afterAll(async () => {
  await proxy.stop();
  await bench.dispose();
});

const sealedFolder = (): string[] => [
  'secrets',
  '--kind',
  'sealed',
  '--schedule',
  '0 0 1 1 *',
  '--path',
  secret,
];

async function points(): Promise<PointListing[]> {
  const stdout = await bench.receiver.must(['points', '--json']);
  return (JSON.parse(stdout) as { points: PointListing[] }).points;
}

async function restore(agentId: string, to: string, ...args: string[]): Promise<string> {
  const invitation = await bench.receiver.invite(['--role', 'restore', '--agent', agentId]);
  const restorer: Agent = new Device('agent', path.join(bench.directory, `restorer-${path.basename(to)}`));
  const key = ['--passphrase-file', passphraseFile];
  return restorer.must(['restore', '--from', invitation, '--agent', agentId, '--to', to, ...key, ...args]);
}

it('a rebuilt server goes on with the data of the lost one: next to nothing is sent, and its history is there', async () => {
  const { agent, receiver } = bench;
  const tree = MastodonTree.make(bench.source, { seed: 'succeed', files: 150, medianBytes: 30_000 });
  const [changed] = tree.attachments;
  if (changed === undefined) throw new Error('too small a tree');
  const picture = changed.files[0] ?? '';
  await agent.must(['folder', 'add', ...sealedFolder()]);
  await bench.startPaired();
  await bench.settled();
  const first = fs.readFileSync(path.join(bench.source, picture));
  await agent.must(['dump', '--wait-copies', '1', '--pin', 'before']);
  tree.rewriteOriginal(changed, 5000);
  await bench.settled();
  await agent.kill();

  const [oldId, newId] = [bench.agentId, await rebuilt.id()];
  const restored = path.join(bench.directory, 'server');
  await restore(oldId, restored);
  const media = path.join(restored, 'media');
  expect(formatDifferences(compareTrees(bench.source, media, asRestored).differences)).toBe('');
  await rebuilt.must(['folder', 'add', 'media', '--kind', 'mirror', '--path', media]);
  await rebuilt.must(['folder', 'add', ...sealedFolder()]);
  const said = await receiver.must(['succeed', oldId.slice(0, 7), newId]);
  expect(said).toContain(`device ${newId} goes on with the data of ${oldId}: media, secrets`);
  await rebuilt.start();
  await receiver.must(['join', await rebuilt.invite()]);
  await rebuilt.must(['wait', '--timeout', '300']);
  const all = compareTrees(bench.source, bench.source).bytes;
  expect(all).toBeGreaterThan(4 * indexBytesMax);
  expect(proxy.bytes.down).toBeLessThan(indexBytesMax);

  const { agents } = await receiver.status();
  expect(agents).toMatchObject([{ deviceId: newId, formerly: [oldId], connected: true }]);
  expect(agents[0]?.folders).toMatchObject([
    { id: 'media', versions: 1 },
    { id: 'secrets', versions: 1 },
  ]);
  const [before] = await points();
  expect(before).toMatchObject({ agent: oldId, complete: true, pin: { label: 'before' } });

  fs.writeFileSync(secret, 'SECRET_KEY_BASE=2\n');
  await rebuilt.must(['dump', '--wait-copies', '1', '--pin', 'after']);
  await until('a complete point of the rebuilt server', async () =>
    (await points()).some((point) => point.agent === newId && point.complete),
  );
  const [then, now] = [path.join(bench.directory, 'then'), path.join(bench.directory, 'now')];
  await restore(oldId, then, '--at', before?.id ?? '');
  expect(fs.readFileSync(path.join(then, 'media', picture)).equals(first)).toBe(true);
  expect(fs.readFileSync(path.join(then, 'secrets', secret), 'utf8')).toBe('SECRET_KEY_BASE=1\n');
  await restore(newId, now);
  expect(formatDifferences(compareTrees(bench.source, path.join(now, 'media'), asRestored).differences)).toBe(
    '',
  );
  expect(fs.readFileSync(path.join(now, 'secrets', secret), 'utf8')).toBe('SECRET_KEY_BASE=2\n');
});

it('the old server, should it come back, is not served any more and is told why', async () => {
  const { agent, receiver } = bench;
  const { listening, deviceId } = await receiver.status();
  fs.writeFileSync(path.join(bench.source, 'late.png'), 'late');
  await agent.start();
  await agent.must(['pair', deviceId, '--address', listening[0] ?? '']);
  const alarm = await until('the old server knows', async () =>
    (await agent.status()).alarms.find(({ code }) => code === 'SUCCEEDED'),
  );
  expect(alarm.message).toContain(await rebuilt.id());
  expect(fs.existsSync(path.join(bench.current, 'late.png'))).toBe(false);
});
