import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { Device, type AgentStatus, type ReceiverStatus } from '../support/device.ts';
import { ifThere } from '../support/if-there.ts';
import type { ProgramName } from '../support/program.ts';
import { keys, TerminalSession } from '../support/terminal-session.ts';
import { until } from '../support/until.ts';

type AnyStatus = Pick<AgentStatus, 'deviceId'> &
  Partial<AgentStatus & ReceiverStatus> & { listening?: string[] };

let scratch: string;
let started: Device<AnyStatus>[] = [];

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-daemon-'));
});

afterEach(async () => {
  for (const device of started) await device.kill().catch(() => {});
  started = [];
  fs.rmSync(scratch, { recursive: true, force: true });
});

async function initialised(name: ProgramName, home = path.join(scratch, name)): Promise<Device<AnyStatus>> {
  const device = new Device<AnyStatus>(name, home);
  await device.must(
    name === 'agent'
      ? ['init', '--yes', '--listen', '127.0.0.1:0']
      : ['init', '--yes', '--listen', '127.0.0.1:0', '--data', path.join(scratch, 'data')],
  );
  return device;
}

async function running(name: ProgramName, home?: string): Promise<Device<AnyStatus>> {
  const device = await initialised(name, home);
  started.push(device);
  await device.start();
  return device;
}

describe.each<ProgramName>(['agent', 'receiver'])('a running %s', (name) => {
  it('lets no second one run on its home, and says which process runs', async () => {
    const device = await running(name);
    const second = await device.run(['run']);
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/^error ALREADY_RUNNING: /m);
    expect(second.stderr).toContain(`process ${device.daemon.pid}`);
    expect((await device.status()).deviceId).toBe(await device.id());
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('ends with 0 on %s and leaves no socket', async (signal) => {
    const device = await running(name);
    expect(await device.daemon.stop(signal)).toBe(0);
    expect(fs.existsSync(path.join(device.home, 'control.sock'))).toBe(false);
    expect((await device.run(['status'])).stderr).toContain('error NOT_RUNNING');
  });

  it('starts again after kill -9, over its stale socket and lock', async () => {
    const device = await running(name);
    await device.kill();
    expect(fs.existsSync(path.join(device.home, 'control.sock'))).toBe(true);
    const offline = await device.run(['status']);
    expect(offline.stderr).toContain('error NOT_RUNNING');
    await device.start();
    expect(await device.stop()).toBe(0);
  });

  it('works in a home whose path is longer than a socket address', async () => {
    const device = await running(name, path.join(scratch, 'h'.repeat(100), 'h'.repeat(100)));
    expect((await device.status()).deviceId).toBe(await device.id());
    expect(await device.stop()).toBe(0);
  });

  it('takes a changed configuration at "reload", in the same process, and refuses one that makes no sense', async () => {
    const device = await running(name);
    const config = path.join(device.home, `${name}.yaml`);
    const before = fs.readFileSync(config, 'utf8');
    fs.writeFileSync(config, `${before}nonsense: 1\n`);
    const refused = await device.run(['reload']);
    expect(refused.stderr).toMatch(/^error CONFIG_INVALID: .*nonsense/);
    expect(refused.code).toBe(2);
    fs.writeFileSync(config, before.replace('127.0.0.1:0', '127.0.0.2:0'));
    expect((await device.status()).listening).toMatchObject([expect.stringMatching(/^127\.0\.0\.1:\d+$/)]);
    expect(JSON.parse(await device.must(['reload', '--json']))).toEqual({ reloaded: true, file: config });
    expect((await device.status()).listening).toMatchObject([expect.stringMatching(/^127\.0\.0\.2:\d+$/)]);
    // a second time, and it can still be stopped
    expect(await device.must(['reload'])).toBe(`${config} is in effect\n`);
    expect(device.isRunning).toBe(true);
    expect(await device.stop()).toBe(0);
  });

  it('says when it could not start again with the configuration, and ends as at a first start', async () => {
    const device = await running(name);
    const config = path.join(device.home, `${name}.yaml`);
    // an address of no machine
    fs.writeFileSync(config, fs.readFileSync(config, 'utf8').replace('127.0.0.1:0', '192.0.2.1:1'));
    const failed = await device.run(['reload']);
    expect(failed.stderr).toMatch(/^error NOT_RUNNING: mastokeep-\w+ could not start again with /);
    expect(failed.code).toBe(1);
    expect(await device.daemon.exited).toBe(1);
    expect(device.daemon.stderr).toContain('error LISTEN_FAILED');
  });

  it('keeps its home and its control socket to itself', async () => {
    const device = await running(name);
    expect(fs.statSync(device.home).mode & 0o777).toBe(0o700);
    expect(fs.statSync(path.join(device.home, 'control.sock')).mode & 0o777).toBe(0o600);
  });

  it('logs JSON lines when nobody watches on a terminal', async () => {
    const device = await running(name);
    await device.stop();
    const lines = device.daemon.stderr.trimEnd().split('\n');
    const messages = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
    expect(messages).toContain(`${name} started`);
    expect(messages.at(-1)).toBe(`${name} stopped`);
    expect(device.daemon.stdout).toBe('');
  });
});

it.each<ProgramName>(['agent', 'receiver'])(
  'a running %s logs readable lines on a terminal',
  async (name) => {
    const device = await initialised(name);
    const session = new TerminalSession(name, ['--home', device.home, 'run']);
    onTestFinished(() => session.end());
    await session.said(new RegExp(`^\\[\\d\\d:\\d\\d:\\d\\d\\] INFO: ${name} started$`, 'm'));
    session.type(keys.interrupt);
    await session.said(new RegExp(`INFO: ${name} stopped$`, 'm'));
    expect(await session.exited).toBe(0);
    expect(session.text).not.toContain('"msg"');
  },
);

describe.each([true, false])('pairing by hand and unpairing, with the programs running: %s', (isRunning) => {
  it('does the same either way', async () => {
    const agent = await initialised('agent');
    const receiver = await initialised('receiver');
    if (isRunning) {
      started.push(agent, receiver);
      await agent.start();
      await receiver.start();
    }
    const receiverId = await receiver.id();
    await agent.must(['pair', receiverId]);
    expect(JSON.parse(await receiver.must(['pair', await agent.id(), '--json']))).toEqual({
      deviceId: await agent.id(),
    });
    const peers = fs.readFileSync(path.join(agent.home, 'peers.json'), 'utf8');
    expect(peers).toContain(receiverId);
    // once it is paired, the beginning is enough
    const address = 'nas.example:22390';
    await agent.must(['pair', receiverId.slice(0, 7), '--address', address]);
    expect(fs.readFileSync(path.join(agent.home, 'peers.json'), 'utf8')).toContain(address);
    await agent.must(['unpair', receiverId.slice(0, 7).toLowerCase()]);
    expect(fs.readFileSync(path.join(agent.home, 'peers.json'), 'utf8')).not.toContain(receiverId);
    const short = await agent.run(['pair', receiverId.slice(0, 7)]);
    expect(short.stderr).toContain('error DEVICE_ID_INVALID');
    expect(short.stderr).toContain('only the beginning of a device ID');
    const again = await agent.run(['unpair', receiverId]);
    expect(again.stderr).toContain('error DEVICE_UNKNOWN');
    expect(again.code).toBe(2);
  });
});

describe('a running agent', () => {
  it('replicates a folder that is added to it at once', async () => {
    const agent = await running('agent');
    const tree = path.join(scratch, 'tree');
    fs.mkdirSync(tree);
    fs.writeFileSync(path.join(tree, 'file'), 'content');
    const add = async (id: string, directory: string): Promise<unknown> =>
      JSON.parse(
        await agent.must(['folder', 'add', id, '--kind', 'mirror', '--path', directory, '--json']),
      ) as unknown;
    expect(await add('extra', tree)).toMatchObject({ id: 'extra', active: true });
    const beside = path.join(scratch, 'beside');
    fs.mkdirSync(beside);
    await add('beside', beside);
    const { folders } = JSON.parse(await agent.must(['scan', 'extra', '--json'])) as { folders: unknown[] };
    expect(folders).toMatchObject([{ id: 'extra', files: 1, bytes: 7, unreadable: 0 }]);
    expect((JSON.parse(await agent.must(['scan', '--json'])) as { folders: unknown[] }).folders).toHaveLength(
      2,
    );
    const unknown = await agent.run(['scan', 'other']);
    expect(unknown.stderr).toContain('error FOLDER_UNKNOWN');
    expect(unknown.code).toBe(2);
  });

  it('lets a folder go that was taken out of the configuration, at "reload"', async () => {
    const agent = await running('agent');
    const tree = path.join(scratch, 'tree');
    fs.mkdirSync(tree);
    const config = path.join(agent.home, 'agent.yaml');
    const before = fs.readFileSync(config, 'utf8');
    await agent.must(['folder', 'add', 'extra', '--kind', 'mirror', '--path', tree]);
    expect((await agent.status()).folders).toMatchObject([{ id: 'extra' }]);
    fs.writeFileSync(config, before);
    await agent.must(['reload']);
    expect((await agent.status()).folders).toEqual([]);
  });

  it('says that there is nothing to accept where the source is as it was', async () => {
    const agent = await running('agent');
    const tree = path.join(scratch, 'tree');
    fs.mkdirSync(tree);
    fs.writeFileSync(path.join(tree, 'file'), 'content');
    await agent.must(['folder', 'add', 'extra', '--kind', 'mirror', '--path', tree]);
    await agent.must(['scan']);
    expect(await agent.must(['accept', 'extra'])).toBe('nothing to accept: folder extra is not stopped\n');
    expect(JSON.parse(await agent.must(['accept', 'extra', '--json']))).toEqual({
      id: 'extra',
      accepted: false,
    });
    fs.rmSync(path.join(tree, 'file'));
    expect((await agent.run(['scan'])).stderr).toContain('error SOURCE_STOPPED');
    expect(JSON.parse(await agent.must(['accept', 'extra', '--json']))).toEqual({
      id: 'extra',
      accepted: true,
    });
    await agent.must(['scan']);
    const unknown = await agent.run(['accept', 'other']);
    expect(unknown.stderr).toMatch(/^error FOLDER_UNKNOWN: .*"other"\n {2}there is extra; /);
    expect(unknown.code).toBe(2);
  });

  it('stays paused over a restart and goes on by itself when the time is over', async () => {
    const agent = await running('agent');
    const tree = path.join(scratch, 'tree');
    fs.mkdirSync(tree);
    await agent.must(['folder', 'add', 'extra', '--kind', 'mirror', '--path', tree]);
    await agent.must(['pause']);
    await agent.stop();
    await agent.start();
    expect(await agent.status()).toMatchObject({
      paused: true,
      pausedUntil: null,
      folders: [{ state: 'paused' }],
    });
    expect((await agent.run(['scan'])).stderr).toContain('error FOLDER_PAUSED');
    expect(JSON.parse(await agent.must(['resume', '--json']))).toEqual({ wasPaused: true });
    await agent.must(['scan']);

    await agent.must(['pause', '--for', '1h']);
    expect(await agent.status()).toMatchObject({
      paused: true,
      pausedUntil: expect.any(String) as unknown,
      folders: [{ state: 'paused' }],
    });
    // Shorter now; what this short pause does is only looked at after its end, which may come at any time.
    expect(JSON.parse(await agent.must(['pause', '--for', '1s', '--json']))).toEqual({
      pausedUntil: expect.any(String) as unknown,
    });
    await until('the pause is over', async () => (await agent.status()).folders?.[0]?.state === 'idle');
    expect(await agent.status()).toMatchObject({ paused: false, pausedUntil: null });
  });

  it('times out with 4 when nobody holds what was found', async () => {
    const agent = await running('agent');
    const result = await agent.run(['wait', '--copies', '1', '--timeout', '1']);
    expect(result.code).toBe(4);
    expect(result.stderr).toMatch(/^error TIMED_OUT: durable on 0 of 1 receivers/);
    expect(result.stderr).toContain('no receiver is paired');
  });

  it('tells a command that waits when it is stopped', async () => {
    const agent = await running('agent');
    const tree = path.join(scratch, 'tree');
    fs.mkdirSync(tree);
    await agent.must(['folder', 'add', 'extra', '--kind', 'mirror', '--path', tree]);
    await agent.must(['scan']);
    const scannedAt = async (): Promise<unknown> => (await agent.status()).folders?.[0]?.lastScanAt;
    const before = await scannedAt();
    const waiting = agent.run(['wait', '--copies', '1', '--timeout', '60']);
    await until('the scan of the command has ended', async () => (await scannedAt()) !== before);
    expect(await agent.stop()).toBe(0);
    const result = await waiting;
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('error NOT_RUNNING');
  });
});

it('ends at once with 130 on the second signal', async () => {
  const script = `
    import { createProgram, runProgram, takeInterrupts } from './shared/cli/run-program.ts';
    const program = createProgram('test', 'test', '/');
    program.command('run').action(async () => {
      takeInterrupts(() => console.log('interrupted'));
      console.log('ready');
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    });
    await runProgram(program, ['node', 'test', 'run']);
  `;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  expect(String(await once(child.stdout, 'data'))).toBe('interrupted\n');
  expect(child.exitCode).toBeNull();
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([130, null]);
});

it('ends with an error when its index is damaged under it, and begins a new one at the next start', async () => {
  const agent = await running('agent');
  const tree = path.join(scratch, 'tree');
  fs.mkdirSync(tree);
  for (let count = 0; count < 300; count += 1) fs.writeFileSync(path.join(tree, `before-${count}`), 'x');
  await agent.must(['folder', 'add', 'extra', '--kind', 'mirror', '--path', tree]);
  await agent.must(['scan']);
  for (const name of ['index.db', 'index.db-wal']) {
    const file = path.join(agent.home, name);
    fs.writeFileSync(file, Buffer.alloc(fs.statSync(file).size, 'garbage'), { flag: 'r+' });
  }
  for (let count = 0; count < 300; count += 1) fs.writeFileSync(path.join(tree, `after-${count}`), 'x');
  expect((await agent.run(['scan'])).code).toBe(1);
  expect(await agent.daemon.exited).toBe(1);
  await agent.start();
  expect(JSON.parse(await agent.must(['scan', '--json']))).toMatchObject({ folders: [{ files: 600 }] });
});

it.runIf(process.getuid?.() === 0)('leaves nothing of root in the home of another user', async () => {
  const receiver = new Device<AnyStatus>('receiver', path.join(scratch, 'home'));
  fs.chmodSync(scratch, 0o755);
  fs.mkdirSync(receiver.home, { mode: 0o700 });
  fs.chownSync(receiver.home, 12_345, 12_345);
  await receiver.must(['init', '--data', path.join(scratch, 'data'), '--listen', '127.0.0.1:22390']);
  await receiver.must(['invite']);
  // a copy whose journal and database are lost: both are made anew
  const copy = path.join(scratch, 'data', await receiver.id(), 'media');
  fs.mkdirSync(path.join(copy, 'current'), { recursive: true });
  fs.writeFileSync(path.join(copy, 'current', 'file'), 'content');
  for (const name of [
    path.dirname(copy),
    copy,
    path.join(copy, 'current'),
    path.join(copy, 'current', 'file'),
  ])
    fs.chownSync(name, 12_345, 12_345);
  expect(await receiver.must(['reindex'])).toMatch(/media +1 +0\n$/);
  for (const name of fs.readdirSync(path.join(scratch, 'data'), { recursive: true, encoding: 'utf8' }))
    expect(fs.statSync(path.join(scratch, 'data', name)).uid, name).toBe(12_345);
  const made = fs.readdirSync(receiver.home, { recursive: true, encoding: 'utf8' });
  expect(made).toContain('peers.json');
  for (const name of made) expect(fs.statSync(path.join(receiver.home, name)).uid, name).toBe(12_345);
  expect(fs.statSync(path.join(scratch, 'data')).uid).toBe(12_345);
});

it('syncs sixteen files at once on a receiver', async () => {
  const receiver = await running('receiver');
  const tasks = `/proc/${receiver.daemon.pid}/task`;
  const workers = (): number =>
    fs
      .readdirSync(tasks)
      .filter((id) => ifThere(() => fs.readFileSync(`${tasks}/${id}/comm`, 'utf8')) === 'libuv-worker\n')
      .length;
  await until('the whole pool has begun', () => workers() >= 16);
  expect(workers()).toBe(16);
});
