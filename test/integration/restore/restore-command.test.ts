import { execFile, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import type { MirrorStore } from '../../../receiver/store/mirror-store.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';
import { createDeviceIdentity } from '../../../shared/identity/device-identity.ts';
import { parseAddress } from '../../../shared/link/address.ts';
import { parseInvitation } from '../../../shared/link/invitation.ts';
import { joinInvitation } from '../../../shared/link/pairing.ts';
import { testLimits } from '../../support/link-devices.ts';
import { LinkProxy } from '../../support/link-proxy.ts';
import { makeOddFiles } from '../../support/odd-files.ts';
import { mustRun, Program, runCommand } from '../../support/program.ts';
import {
  inviteToRestore,
  type RestoreReceiver,
  startRestoreReceiver,
  storeTree,
} from '../../support/restore-receiver.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { storeFixture } from '../../support/store-fixture.ts';
import { TerminalSession } from '../../support/terminal-session.ts';
import { compareTrees, formatDifferences } from '../../support/tree-compare.ts';
import { until } from '../../support/until.ts';

const mib = 1024 * 1024;
const agentMain = fileURLToPath(new URL('../../../agent/main.ts', import.meta.url));
/** A user that has nothing here; only root can become it, and only where it may read the checkout. */
const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath];
const canBeNobody =
  process.getuid?.() === 0 &&
  spawnSync('setpriv', [...nobody, '-e', `fs.accessSync(${JSON.stringify(agentMain)})`]).status === 0;

let bench: string;
let source: string;
let store: MirrorStore;
let receiver: RestoreReceiver;
let agentId: DeviceId;
let to: string;
let home: string;
let round = 0;

beforeAll(async () => {
  bench = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-restore-command-'));
  source = path.join(bench, 'source');
  makeOddFiles(source);
  for (let at = 0; at < 600; at += 1) {
    fs.mkdirSync(path.join(source, `media/${at % 97}/original`), { recursive: true });
    fs.writeFileSync(
      path.join(source, `media/${at % 97}/original/${at}.png`),
      seededBytes(`${at}`, 5000 + at),
    );
  }
  for (const name of ['one', 'two'])
    fs.writeFileSync(path.join(source, `${name}.mp4`), seededBytes(name, 6 * mib));
  store = await storeFixture(path.join(bench, 'store')).open();
  agentId = (await createDeviceIdentity(bench)).deviceId;
  await storeTree(store, source);
  receiver = await startRestoreReceiver(bench, new Map([[agentId, new Map([['media', store]])]]), {
    listen: true,
  });
});
afterAll(async () => {
  await receiver.links.stop();
  await store.close();
  fs.rmSync(bench, { recursive: true, force: true });
});
beforeEach(() => {
  round += 1;
  to = path.join(bench, `to-${round}`);
  home = path.join(bench, `home-${round}`);
});
afterEach(() => fs.rmSync(to, { recursive: true, force: true }));

const restoreArgs = (...args: string[]): string[] => ['--home', home, 'restore', ...args];
const restore = (...args: string[]) => runCommand('agent', restoreArgs(...args));
const expectSameTree = (): void => {
  const owners = process.getuid?.() === 0;
  expect(formatDifferences(compareTrees(source, path.join(to, 'media'), { owners }).differences)).toBe('');
};

it('restores and prints one JSON document, and nothing but it', async () => {
  const { code, stdout, stderr } = await restore(
    '--from',
    inviteToRestore(receiver, agentId),
    '--to',
    to,
    '--json',
  );
  expect([code, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout)).toMatchObject({
    folders: [{ id: 'media', skipped: 0, failed: [], target: path.join(to, 'media') }],
    agent: agentId,
    dryRun: false,
  });
  expectSameTree();
});

it('ends with the exact tree although it is killed at any moment, again and again', async () => {
  const { host, port } = parseAddress(receiver.addresses[0] ?? '');
  const proxy = await LinkProxy.start({ host, port });
  const random = new SeededRandom('kill');
  const from = inviteToRestore(receiver, agentId, `127.0.0.1:${proxy.endpoint.port}`);
  const restored = (): string[] =>
    fs.existsSync(to)
      ? (fs.readdirSync(to, { recursive: true }) as string[]).filter((name) => /\.(png|mp4)$/.test(name))
      : [];
  const countImages = (): number => restored().filter((name) => name.includes('/original/')).length;
  const imagesAtKill: number[] = [];
  // The start of a run is what takes time, so there are few: before the first names, among them, in the large files.
  for (const imagesWanted of [0, 1, 600, 600]) {
    proxy.bytesPerSecond = imagesWanted < 600 ? mib : 8 * mib;
    const run = new Program('agent', restoreArgs('--from', from, '--to', to));
    const isCaught = (): boolean => run.exitCode !== null || countImages() >= imagesWanted;
    await until(`${imagesWanted} images`, isCaught, { everyMs: 10 });
    if (imagesWanted !== 1) {
      await Promise.race([proxy.passed('down', random.integer(20_000, 1.5 * mib)), run.exited]);
    }
    expect(run.exitCode, run.report()).toBeNull();
    await run.kill();
    // Whatever has its final name is whole.
    for (const name of restored()) {
      const expected = fs.readFileSync(path.join(source, path.relative('media', name)));
      expect(fs.readFileSync(path.join(to, name)).equals(expected), name).toBe(true);
    }
    imagesAtKill.push(countImages());
  }
  expect(imagesAtKill[1], imagesAtKill.join()).toBeLessThan(600);
  proxy.bytesPerSecond = Number.POSITIVE_INFINITY;
  const last = await restore('--from', from, '--to', to, '--json');
  expect(last.code, last.stderr).toBe(0);
  await proxy.stop();
  expectSameTree();
});

it('shows a person how far it is, how fast, and how long it will take', async () => {
  const { host, port } = parseAddress(receiver.addresses[0] ?? '');
  const proxy = await LinkProxy.start({ host, port });
  proxy.bytesPerSecond = 3 * mib;
  const from = inviteToRestore(receiver, agentId, `127.0.0.1:${proxy.endpoint.port}`);
  const session = new TerminalSession('agent', restoreArgs('--from', from, '--to', to));
  onTestFinished(() => session.end());
  const bar =
    /[█░]{24} [1-9]\d?%\s+\d+ of \d{3} files, [\d.]+ [KM]iB of [\d.]+ MiB, [\d.]+ [KM]iB\/s, [\d.]+ (second|minute)s? left/;
  await session.said(bar);
  proxy.bytesPerSecond = Number.POSITIVE_INFINITY;
  expect(await session.exited).toBe(0);
  await proxy.stop();
  const files = /([\d,]+) of \1 files, ([\d.]+ MiB) of \2, /;
  expect(session.text).toMatch(files);
  expectSameTree();
});

it('prints an invitation, the last line, and waits for the receiver that joins it', async () => {
  const run = new Program('agent', restoreArgs('--listen', '127.0.0.1:0', '--to', to));
  const [invitation] = await run.said(/^mastokeep1-\S+$/m);
  expect(run.stdout.trimEnd().split('\n').at(-1)).toBe(invitation);
  const options = { addresses: [], agentId, limits: testLimits, signal: AbortSignal.timeout(120_000) };
  await joinInvitation(receiver, parseInvitation(invitation), options);
  expect(await run.exited, run.report()).toBe(0);
  expectSameTree();
});

it('tells the ID to pair with where the receiver does not know this device, and goes on when it does', async () => {
  const from = `${receiver.identity.deviceId}@${receiver.addresses[0]}`;
  const run = new Program('agent', restoreArgs('--from', from, '--to', to));
  const [, deviceId] = await run.said(/mastokeep-receiver pair (\S+) --role restore/);
  await run.said(/goes on trying/);
  receiver.book.pair({ deviceId: deviceId as DeviceId, grant: { role: 'restore', agentId }, addresses: [] });
  expect(await run.exited, run.report()).toBe(0);
  expectSameTree();
});

it('ends with 3 when a file is in the way, 1 when nothing matches, 2 for usage', async () => {
  const from = inviteToRestore(receiver, agentId);
  fs.mkdirSync(path.join(to, 'media'), { recursive: true });
  fs.writeFileSync(path.join(to, 'media/private'), 'mine');
  const conflict = await restore('--from', from, '--to', to, '--path', 'private', '--path', 'empty');
  expect([conflict.code, conflict.stderr]).toEqual([
    3,
    expect.stringMatching(/RESTORE_CONFLICT media\/private: /),
  ]);
  expect(fs.readFileSync(path.join(to, 'media/private'), 'utf8')).toBe('mine');
  const replaced = await restore('--from', from, '--to', to, '--path', 'private', '--in-place');
  expect([replaced.code, fs.readFileSync(path.join(to, 'media/private'), 'utf8')]).toEqual([0, 'private']);
  const nothing = await restore('--from', from, '--to', to, '--path', 'nothing');
  expect([nothing.code, nothing.stderr]).toEqual([
    1,
    expect.stringMatching(/^error RESTORE_NOTHING_FOUND: /m),
  ]);
  for (const args of [
    ['--to', to],
    ['--from', from, '--listen', '127.0.0.1:0', '--to', to],
    ['--from', from],
    ['--from', 'nonsense', '--to', to],
    ['--from', from, '--to', to, '--at', 'soon'],
    ['--from', from, '--to', to, '--folder', 'other'],
  ]) {
    const wrong = await restore(...args);
    expect(wrong.code, args.join(' ')).toBe(2);
  }
});

/** What lies on the disk below a directory, whole or not; files with odd names are small and left out. */
function writtenBytes(directory: string): number {
  const names = fs.existsSync(directory)
    ? fs.readdirSync(directory, { recursive: true, encoding: 'utf8' })
    : [];
  return names.reduce((sum, name) => {
    const entry = fs.lstatSync(path.join(directory, name), { throwIfNoEntry: false });
    return sum + (entry?.isFile() === true ? Math.min(entry.size, entry.blocks * 512) : 0);
  }, 0);
}

it('ends with 130 when it is interrupted, and the same command goes on', async () => {
  const { host, port } = parseAddress(receiver.addresses[0] ?? '');
  const proxy = await LinkProxy.start({ host, port });
  proxy.bytesPerSecond = 4 * mib;
  const from = inviteToRestore(receiver, agentId, `127.0.0.1:${proxy.endpoint.port}`);
  const run = new Program('agent', restoreArgs('--from', from, '--to', to));
  // On the disk, that is: much more may be under way to it. The images, and some of the large files.
  await until('half is there', () => writtenBytes(to) > 9 * mib);
  expect(await run.stop('SIGINT'), run.report()).toBe(130);
  const kept = writtenBytes(to);
  const before = proxy.bytes.down;
  proxy.bytesPerSecond = Number.POSITIVE_INFINITY;
  const { code, stdout } = await restore('--from', from, '--to', to);
  expect(code).toBe(0);
  expect(stdout).toMatch(/files?, [\d.]+ MiB restored to .*; \d+ were there already$/m);
  // A piece of a large file that was half written comes again.
  expect(proxy.bytes.down - before).toBeLessThan(writtenBytes(to) - kept + 2 * mib);
  await proxy.stop();
  expectSameTree();
});

it.runIf(process.getuid?.() === 0)(
  'gives back owners by default as root, and none with --owner none',
  async () => {
    const owned = path.join(source, 'owned');
    fs.mkdirSync(owned, { recursive: true });
    fs.writeFileSync(path.join(owned, 'file'), 'owned');
    fs.symlinkSync('file', path.join(owned, 'pointer'));
    for (const name of ['', 'file', 'pointer']) fs.lchownSync(path.join(owned, name), 1234, 2345);
    await storeTree(store, source, 500_000);
    const from = inviteToRestore(receiver, agentId);
    const ownersIn = (directory: string): string[] =>
      ['', 'file', 'pointer'].map((name) => {
        const { uid, gid } = fs.lstatSync(path.join(to, directory, 'media/owned', name));
        return `${uid}:${gid}`;
      });
    for (const [directory, options, owners] of [
      ['default', [], '1234:2345'],
      ['keep', ['--owner', 'keep'], '1234:2345'],
      ['none', ['--owner', 'none'], '0:0'],
    ] as const) {
      const args = ['--from', from, '--to', path.join(to, directory), '--path', '/owned', ...options];
      const { code, stderr } = await restore(...args);
      expect([code, stderr]).toEqual([0, '']);
      expect(ownersIn(directory)).toEqual([owners, owners, owners]);
    }
  },
);

it.runIf(canBeNobody)('tells once that owners cannot be given back, and gives back the rest', async () => {
  const own = path.join(bench, 'kept-by-nobody');
  fs.mkdirSync(own);
  fs.chownSync(own, 65534, 65534);
  fs.chmodSync(bench, 0o755);
  const from = inviteToRestore(receiver, agentId);
  const args = [agentMain, '--home', path.join(own, 'home'), 'restore', '--from', from, '--to', own];
  const run = (...more: string[]) =>
    promisify(execFile)('setpriv', [...nobody, ...args, '--path', 'media', ...more]);
  expect((await run()).stderr).toContain('owners are not restored: that needs root\n');
  fs.rmSync(path.join(own, 'media'), { recursive: true });
  const { stderr } = await run('--owner', 'keep');
  expect(stderr.match(/owners of folder media could not be set: only root may/g)).toHaveLength(1);
  expect(fs.readdirSync(path.join(own, 'media/media'))).toHaveLength(97);
});

it('replaces what differs at the configured path with --in-place alone, and asks where to put other folders', async () => {
  const live = path.join(to, 'live');
  fs.mkdirSync(live, { recursive: true });
  fs.writeFileSync(path.join(live, 'private'), 'wrong');
  fs.writeFileSync(path.join(live, 'mine'), 'mine');
  await mustRun('agent', ['--home', home, 'init', '--yes']);
  const from = inviteToRestore(receiver, agentId);
  const inPlace = ['--from', from, '--in-place', '--path', '/private', '--path', '/one.mp4'];
  const nowhere = await restore(...inPlace);
  expect([nowhere.code, nowhere.stderr]).toEqual([
    2,
    expect.stringContaining('should folder media be restored'),
  ]);
  await mustRun('agent', ['--home', home, 'folder', 'add', 'media', '--kind', 'mirror', '--path', live]);
  const { code, stdout } = await restore(...inPlace);
  expect([code, stdout]).toEqual([0, expect.stringContaining(`restored to ${live}`)]);
  expect(fs.readFileSync(path.join(live, 'private'), 'utf8')).toBe('private');
  expect(fs.readdirSync(live).sort()).toEqual(['mine', 'one.mp4', 'private']);
});

it('lists with --dry-run for people', async () => {
  const from = inviteToRestore(receiver, agentId);
  const { code, stdout } = await restore('--from', from, '--to', to, '--dry-run', '--path', 'one.mp4');
  expect(code).toBe(0);
  expect(stdout).toContain('6 MiB  media/one.mp4\n');
  expect(fs.existsSync(to)).toBe(false);
});

it.runIf(canBeNobody)('without root gives back modes of any kind twice over, owners aside', async () => {
  const own = path.join(bench, 'of-nobody');
  fs.mkdirSync(own);
  fs.chownSync(own, 65534, 65534);
  fs.chmodSync(bench, 0o755);
  const odd = path.join(source, 'modes');
  fs.mkdirSync(path.join(odd, 'closed/inner'), { recursive: true });
  fs.writeFileSync(path.join(odd, 'closed/inner/unreadable'), 'unreadable');
  fs.writeFileSync(path.join(odd, 'closed/file'), 'file');
  fs.mkdirSync(path.join(odd, 'shut'));
  fs.writeFileSync(path.join(odd, 'shut/file'), 'shut');
  fs.chmodSync(path.join(odd, 'shut'), 0);
  fs.chmodSync(path.join(odd, 'closed/inner/unreadable'), 0);
  fs.chmodSync(path.join(odd, 'closed/inner'), 0o500);
  fs.chmodSync(path.join(odd, 'closed'), 0o300);
  await storeTree(store, source, 1_000_000);
  const from = inviteToRestore(receiver, agentId);
  const args = [
    agentMain,
    '--home',
    path.join(own, 'home'),
    'restore',
    '--from',
    from,
    '--to',
    own,
    '--json',
  ];
  for (const [files, skipped] of [
    [4, 0],
    [0, 4],
  ]) {
    const { stdout } = await promisify(execFile)('setpriv', [
      ...nobody,
      ...args,
      '--path',
      'modes',
      '--path',
      'link',
    ]);
    expect(JSON.parse(stdout)).toMatchObject({ folders: [{ files, skipped, failed: [] }] });
    const { differences } = compareTrees(odd, path.join(own, 'media/modes'));
    expect(formatDifferences(differences)).toBe('');
    expect(fs.statSync(path.join(own, 'media/modes/closed')).mode & 0o7777).toBe(0o300);
  }
});
