import fs from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { formatInvitation, parseInvitation } from '../../shared/link/invitation.ts';
import { Device, type Agent, type Receiver } from '../support/device.ts';
import { ifThere } from '../support/if-there.ts';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { runCommand } from '../support/program.ts';
import { compareTrees, formatDifferences } from '../support/tree-compare.ts';
import { until } from '../support/until.ts';
import { Workbench } from '../support/workbench.ts';

/** What the running program logged of refused invitations; its last line may be half there. */
const refusals = (device: Agent): Record<string, unknown>[] =>
  device.daemon.stderr
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.includes('INVITATION_REFUSED'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** The types of the entries of a receiver's journal, in order; it may be at work on it, and drops what it has indexed. */
function journalEntries(directory: string): string[] {
  const names = ifThere(() => fs.readdirSync(directory)) ?? [];
  return names
    .filter((name) => name.endsWith('.journal'))
    .toSorted()
    .map((name) => ifThere(() => fs.readFileSync(path.join(directory, name), 'utf8')) ?? '')
    .flatMap((text) => text.split('\n').slice(0, -1))
    .map((line) => (JSON.parse(line.slice(line.indexOf(' '))) as { type: string }).type);
}

const asStored = { modes: false, times: false, links: false, emptyDirectories: false };
const errorLine = (code: string): RegExp => new RegExp(`^error ${code}: \\S.*$`, 'm');

/** The ID with another letter at its beginning. */
const mistyped = (id: string): string => `${id.startsWith('A') ? 'B' : 'A'}${id.slice(1)}`;

describe('mistakes are told with a code, a reason and an exit code', () => {
  let bench: Workbench;

  beforeAll(async () => {
    bench = await Workbench.create('mistakes', { receiverListens: true });
  });

  afterAll(async () => {
    await bench.dispose();
  });

  it.each<[string, (bench: Workbench) => [string[], 'agent' | 'receiver'], number, string]>([
    ['a home without init', (on) => [['--home', `${on.directory}/none`, 'run'], 'agent'], 2, 'HOME_INVALID'],
    ['a second init', (on) => [['--home', on.agent.home, 'init', '--yes'], 'agent'], 2, 'HOME_INVALID'],
    ['no program that runs', (on) => [['--home', on.agent.home, 'status'], 'agent'], 1, 'NOT_RUNNING'],
    [
      'a folder that is no directory',
      (on) => [
        ['--home', on.agent.home, 'folder', 'add', 'x', '--kind', 'mirror', '--path', '/no/such'],
        'agent',
      ],
      2,
      'CONFIG_INVALID',
    ],
    [
      'an address whose port is a word',
      (on) => [['--home', `${on.directory}/n`, 'init', '--yes', '--listen', 'nas:ssh'], 'agent'],
      2,
      'ADDRESS_INVALID',
    ],
    [
      'a receiver without a place for data',
      (on) => [['--home', `${on.directory}/n`, 'init', '--yes'], 'receiver'],
      2,
      'USAGE',
    ],
    [
      'text that is no invitation',
      (on) => [['--home', on.receiver.home, 'join', 'hello'], 'receiver'],
      2,
      'INVITATION_INVALID',
    ],
    [
      'a device ID with a typing error',
      (on) => [['--home', on.receiver.home, 'pair', mistyped(on.agentId)], 'receiver'],
      2,
      'DEVICE_ID_INVALID',
    ],
    [
      'an unknown folder',
      (on) => [['--home', on.receiver.home, 'versions', 'nothing', 'a'], 'receiver'],
      2,
      'FOLDER_UNKNOWN',
    ],
    ['an unknown command', () => [['replicate-everything'], 'agent'], 2, 'USAGE'],
  ])('%s', async (_what, call, exitCode, code) => {
    const [args, name] = call(bench);
    const result = await runCommand(name, args);
    expect(result.stderr).toMatch(errorLine(code));
    expect(result.code).toBe(exitCode);
    expect(result.stdout).toBe('');
    expect(result.stderr).not.toMatch(/^\s+at /m);
  });
});

describe('two programs', () => {
  let bench: Workbench;

  beforeEach(async () => {
    bench = await Workbench.create('commands', { receiverListens: true });
  });

  afterEach(async () => {
    await bench.dispose();
  });

  it('refuses an invitation that another device has used, one that was cut off, and one nobody answers for', async () => {
    await Promise.all([bench.agent.start(), bench.receiver.start()]);
    const invitation = await bench.agent.invite();
    await bench.receiver.must(['join', invitation]);
    const other: Receiver = new Device('receiver', path.join(bench.directory, 'other-receiver'));
    await bench.initReceiver(other, path.join(bench.directory, 'other-data'), false);
    const used = await other.run(['join', invitation]);
    expect(used.code).toBe(1);
    expect(used.stderr).toMatch(errorLine('INVITATION_REFUSED'));
    expect((await bench.agent.status()).receivers.length).toBe(1);
    const late = await bench.agent.invite();
    await bench.agent.stop();
    const unanswered = await bench.receiver.run(['join', late]);
    expect(unanswered.code).toBe(1);
    expect(unanswered.stderr).toMatch(errorLine('LINK_UNREACHABLE'));
    const cutOff = await bench.receiver.run(['join', late.slice(0, -7)]);
    expect(cutOff.code).toBe(2);
    expect(cutOff.stderr).toMatch(errorLine('INVITATION_INVALID'));
  });

  it('logs each refused invitation with a code and what was wrong with it', async () => {
    await bench.agent.start();
    const used = await bench.agent.invite();
    const unused = await bench.agent.invite();
    // stays open, so that everybody is listened to
    await bench.agent.invite();
    const guests: Receiver[] = ['first', 'second'].map(
      (name) => new Device('receiver', path.join(bench.directory, name)),
    );
    for (const guest of guests) await bench.initReceiver(guest, `${guest.home}-data`, false);
    const [first, second] = guests;
    if (first === undefined || second === undefined) throw new Error('no receivers');
    await first.must(['join', used]);
    const refusedJoin = async (device: Receiver, text: string): Promise<unknown> => {
      const { length } = refusals(bench.agent);
      const result = await device.run(['join', text]);
      expect(result.stderr).toMatch(errorLine('INVITATION_REFUSED'));
      expect(result.code).toBe(1);
      return await until('the agent logged it', () => refusals(bench.agent)[length]);
    };
    const [firstId, secondId] = [await first.id(), await second.id()];
    expect(await refusedJoin(second, used)).toMatchObject({
      level: 'warn',
      deviceId: secondId,
      reason: 'the invitation was used already',
    });
    // replayed by the device that had used it, after it was unpaired
    await bench.agent.must(['unpair', firstId]);
    const unknown = { level: 'warn', reason: 'no invitation with this secret is open' };
    expect(await refusedJoin(first, used)).toMatchObject({ ...unknown, deviceId: firstId });
    const { secret, ...rest } = parseInvitation(unused);
    const forged = formatInvitation({ ...rest, secret: Buffer.alloc(secret.length) });
    expect(await refusedJoin(second, forged)).toMatchObject({ ...unknown, deviceId: secondId });
    // as if ten minutes had passed
    await bench.agent.stop();
    const peers = path.join(bench.agent.home, 'peers.json');
    const before = fs.readFileSync(peers, 'utf8');
    fs.writeFileSync(peers, before.replace(/"expiresAt": "20\d\d/, '"expiresAt": "2020'));
    await bench.agent.start();
    expect(await refusedJoin(second, unused)).toMatchObject({
      level: 'warn',
      deviceId: secondId,
      reason: 'the invitation has expired',
    });
    expect((await bench.agent.status()).receivers).toEqual([]);
  });

  it('says that one is running when the same home is started again, and the first goes on', async () => {
    await bench.agent.start();
    const second = await bench.agent.run(['run']);
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(errorLine('ALREADY_RUNNING'));
    expect((await bench.agent.status()).deviceId).toBe(bench.agentId);
  });

  it('ends with 0 on SIGTERM on both sides, also in the middle of a copy, and goes on after a start', async () => {
    MastodonTree.make(bench.source, { seed: 'sigterm', files: 700, medianBytes: 20_000 });
    await bench.startPaired();
    const journal = path.join(path.dirname(bench.current), 'journal');
    const isUnderWay = (): boolean => {
      const entries = journalEntries(journal);
      // where batches are over too fast to be seen, the copy itself is under way
      return entries.at(-1) === 'intent' || entries.filter((type) => type === 'commit').length > 2;
    };
    await until('a batch is under way', isUnderWay, { everyMs: 1, explain: () => bench.report() });
    const codes = await Promise.all([bench.agent.stop(), bench.receiver.stop()]);
    expect(codes, bench.report()).toEqual([0, 0]);
    const entries = journalEntries(journal);
    const count = (type: string): number => entries.filter((entry) => entry === type).length;
    expect(count('commit')).toBeGreaterThan(0);
    expect([count('begin'), entries.at(-1)]).toEqual([count('commit'), 'commit']);
    await Promise.all([bench.agent.start(), bench.receiver.start()]);
    await bench.settled();
    expect(formatDifferences(compareTrees(bench.source, bench.current, asStored).differences)).toBe('');
  });

  it('finds nothing while paused and everything after resume', async () => {
    const tree = MastodonTree.make(bench.source, { seed: 'pause', files: 40 });
    await bench.startPaired();
    await bench.settled();
    await bench.agent.must(['pause', '--for', '6h']);
    const file = tree.addUpload().files[0] ?? '';
    // Long enough that the watcher would have brought it.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(fs.existsSync(path.join(bench.current, file))).toBe(false);
    await bench.agent.must(['resume']);
    await until('the file arrives', () => fs.existsSync(path.join(bench.current, file)), {
      explain: () => bench.report(),
    });
  });

  it('stops a folder whose source has vanished, says so, deletes nothing, and goes on when it is back', async () => {
    MastodonTree.make(bench.source, { seed: 'vanish', files: 60 });
    await bench.startPaired();
    await bench.settled();
    const away = `${bench.source}-away`;
    fs.renameSync(bench.source, away);
    fs.mkdirSync(bench.source);
    await bench.agent.run(['scan']);
    const stopped = await bench.agent.status();
    expect(stopped.folders[0]?.state).toBe('stopped');
    expect(stopped.alarms.map((alarm) => alarm.code)).toContain('SOURCE_STOPPED');
    expect(formatDifferences(compareTrees(away, bench.current, asStored).differences)).toBe('');
    const waited = await bench.agent.run(['wait', '--timeout', '60']);
    expect(waited.code).toBe(1);
    expect(waited.stderr).toMatch(errorLine('SOURCE_STOPPED'));

    fs.rmdirSync(bench.source);
    fs.renameSync(away, bench.source);
    await bench.agent.must(['accept', 'media']);
    await bench.settled();
    expect(formatDifferences(compareTrees(bench.source, bench.current, asStored).differences)).toBe('');
  });

  it('lists versions, finds them by time, and restores one path in place only when told', async () => {
    const tree = MastodonTree.make(bench.source, { seed: 'versions', files: 40 });
    const file = tree.writeFile('notes.txt', 100);
    await bench.startPaired();
    await bench.settled();
    const first = fs.readFileSync(path.join(bench.source, file));
    const firstAt = new Date();
    tree.writeFile('notes.txt', 200);
    await bench.settled();
    tree.writeFile('notes.txt', 300);
    await bench.settled();
    const listed = JSON.parse(await bench.receiver.must(['versions', 'media', file, '--json'])) as {
      versions: { size: number; current: boolean }[];
    };
    expect(listed.versions.map(({ size, current }) => [size, current])).toEqual([
      [300, true],
      [200, false],
      [100, false],
    ]);

    const at = ['--at', firstAt.toISOString(), '--path', file];
    const dry = path.join(bench.directory, 'dry');
    const restorer: Agent = new Device('agent', path.join(bench.directory, 'restorer'));
    const invite = async (): Promise<string> =>
      await bench.receiver.invite(['--role', 'restore', '--agent', bench.agentId]);
    const rehearsal = await restorer.run([
      'restore',
      '--from',
      await invite(),
      '--to',
      dry,
      '--dry-run',
      ...at,
    ]);
    expect(rehearsal.code, rehearsal.stderr).toBe(0);
    expect(fs.existsSync(path.join(dry, 'media', file))).toBe(false);

    const target = path.join(bench.directory, 'target');
    fs.mkdirSync(path.join(target, 'media'), { recursive: true });
    fs.writeFileSync(path.join(target, 'media', file), 'in the way');
    const refused = await restorer.run(['restore', '--from', await invite(), '--to', target, ...at]);
    expect(refused.code).toBe(3);
    expect(fs.readFileSync(path.join(target, 'media', file), 'utf8')).toBe('in the way');
    const forced = await restorer.run([
      'restore',
      '--from',
      await invite(),
      '--to',
      target,
      '--in-place',
      ...at,
    ]);
    expect(forced.code, forced.stderr).toBe(0);
    expect(fs.readFileSync(path.join(target, 'media', file))).toEqual(first);
    expect(fs.readdirSync(path.join(target, 'media'))).toEqual([file]);
  });

  it('takes --home before and after the command, and from the environment', async () => {
    const home = bench.agent.home;
    const before = await runCommand('agent', ['--home', home, 'id']);
    const after = await runCommand('agent', ['id', '--home', home]);
    const environment = await runCommand('agent', ['id'], { env: { MASTOKEEP_HOME: home } });
    expect([before.stdout, after.stdout, environment.stdout]).toEqual(Array(3).fill(`${bench.agentId}\n`));
  });
});
