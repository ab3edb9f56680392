import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it, vi } from 'vitest';
import { ProgramOutput } from '../../agent/source/program-output.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { until } from '../support/until.ts';

let programs: ChildProcess[] = [];

afterEach(() => {
  vi.restoreAllMocks();
  for (const program of programs) program.kill('SIGKILL');
  programs = [];
});

function run(output: ProgramOutput, command: string): void {
  programs.push(spawn('sh', ['-c', command], { stdio: ['ignore', output.programEnd, 'ignore'] }));
  output.handOver();
}

async function textOf(output: ProgramOutput): Promise<string> {
  const pieces = await Array.fromAsync(output.pieces(), (piece) => Buffer.from(piece));
  return Buffer.concat(pieces).toString();
}

it('gives every byte, however fast they are taken', async () => {
  const file = path.join(temporaryDirectory(), 'printed');
  const output = await ProgramOutput.open();
  run(output, `head -c 20000000 /dev/urandom | tee '${file}'`);
  const taken = createHash('sha256');
  let pieces = 0;
  for await (const piece of output.pieces()) {
    if (pieces++ % 16 === 0) await delay(5);
    taken.update(piece);
  }
  expect(taken.digest('hex')).toBe(createHash('sha256').update(fs.readFileSync(file)).digest('hex'));
  fs.rmSync(path.dirname(file), { recursive: true });
});

it('reads one piece at a time: a program that nobody listens to waits', async () => {
  const output = await ProgramOutput.open();
  const file = path.join(temporaryDirectory(), 'written');
  run(output, `exec 3>'${file}'; yes | head -c 3000000 | tee /dev/fd/3`);
  const pieces = output.pieces();
  await pieces.next();
  // until it writes no more
  let [before, written] = [-1, 0];
  while (written !== before) {
    await delay(300);
    [before, written] = [written, fs.statSync(file).size];
  }
  expect(written).toBeGreaterThan(0);
  expect(written).toBeLessThan(2_000_000);
  output.destroy();
  fs.rmSync(path.dirname(file), { recursive: true });
});

it('takes nothing from strangers who connect, and gives them nothing', async () => {
  const strangers: { socket: net.Socket; heard: string; closed: Promise<unknown> }[] = [];
  const { createServer } = net;
  vi.spyOn(net, 'createServer').mockImplementationOnce(() => {
    const server = createServer();
    // before the one who is awaited
    server.once('listening', () => {
      for (const said of ['x'.repeat(32), 'y', 'z'.repeat(100), '']) {
        const socket = net.connect(server.address() as string);
        const stranger = { socket, heard: '', closed: once(socket, 'close') };
        socket.on('data', (bytes: Buffer) => {
          stranger.heard += bytes.toString();
        });
        socket.on('error', () => {});
        socket.write(said);
        strangers.push(stranger);
      }
    });
    return server;
  });
  const output = await ProgramOutput.open();
  run(output, 'echo words');
  expect(await textOf(output)).toBe('words\n');
  await Promise.all(strangers.map(({ closed }) => closed));
  expect(strangers.map(({ heard }) => heard)).toEqual(['', '', '', '']);
});

it('fails, and leaves nothing open, when the machine has no descriptor left for it', async () => {
  const { createServer } = net;
  const open = () => fs.readdirSync('/proc/self/fd').length;
  const before = open();
  const breaks: ((server: net.Server) => void)[] = [
    // as libuv does where accepting fails
    (server) => server.on('connection', (socket) => socket.destroy()),
    (server) => server.once('listening', () => setImmediate(() => server.emit('error', new Error('EMFILE')))),
  ];
  for (const breakIt of breaks) {
    vi.spyOn(net, 'createServer').mockImplementationOnce(() => {
      const server = createServer();
      breakIt(server);
      return server;
    });
    await expect(ProgramOutput.open()).rejects.toThrow();
  }
  await until('all is closed', () => open() <= before);
});

it('ends when the program does not run, and when it is given up', async () => {
  const [unused, dropped] = [await ProgramOutput.open(), await ProgramOutput.open()];
  unused.handOver();
  expect(await textOf(unused)).toBe('');
  run(dropped, 'echo a; exec sleep 60');
  const pieces = dropped.pieces();
  expect((await pieces.next()).value?.toString()).toBe('a\n');
  dropped.destroy();
  expect(await pieces.next()).toEqual({ done: true, value: undefined });
});
