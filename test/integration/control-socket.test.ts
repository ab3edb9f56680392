import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { callControl, findProgram } from '../../shared/io/control-client.ts';
import { controlRoute } from '../../shared/io/control-route.ts';
import { startControlServer, type ControlServer } from '../../shared/io/control-server.ts';
import { lockHome } from '../../shared/io/home-lock.ts';
import { homeAt, type Home } from '../../shared/io/home.ts';
import { silentLogger } from '../../shared/io/logger.ts';

let scratch: string;
let server: ControlServer | null = null;
let aborted: Promise<string>;

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-control-'));
});

afterEach(async () => {
  await server?.close();
  server = null;
  fs.rmSync(scratch, { recursive: true, force: true });
});

function newHome(directory: string): Home {
  fs.mkdirSync(directory, { recursive: true });
  return homeAt(directory, 'agent.yaml');
}

async function serve(home: Home): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<string>();
  aborted = promise;
  const nothing = z.strictObject({});
  server = await startControlServer({
    home,
    logger: silentLogger,
    routes: {
      about: controlRoute(nothing, async () => ({ pid: 1 })),
      double: controlRoute(z.strictObject({ value: z.number() }), async ({ value }) => value * 2),
      refuse: controlRoute(nothing, async () => {
        throw new CodedError('FOLDER_UNKNOWN', 'no folder "x"', { hint: 'there is "y"' });
      }),
      break: controlRoute(nothing, async () => {
        throw new TypeError('a defect');
      }),
      forever: controlRoute(nothing, async (_, signal) => {
        signal.addEventListener('abort', () => resolve((signal.reason as CodedError).code));
        await new Promise(() => {});
      }),
    },
  });
}

describe.each([
  ['a short home', (directory: string) => directory],
  [
    'a home whose path is longer than a socket address',
    (directory: string) => path.join(directory, 'x'.repeat(120), 'y'.repeat(120)),
  ],
])('the control socket of %s', (_, directoryOf) => {
  it('answers commands with results', async () => {
    const home = newHome(directoryOf(scratch));
    await serve(home);
    expect(await callControl(home, 'double', { value: 21 })).toBe(42);
    expect(fs.statSync(path.join(home.directory, 'control.sock')).mode & 0o777).toBe(0o600);
  });

  it('carries coded errors with their hints', async () => {
    const home = newHome(directoryOf(scratch));
    await serve(home);
    await expect(callControl(home, 'refuse', {})).rejects.toMatchObject({
      code: 'FOLDER_UNKNOWN',
      message: 'no folder "x"',
      hint: 'there is "y"',
    });
    await expect(callControl(home, 'break', {})).rejects.toMatchObject({ code: 'INTERNAL' });
    await expect(callControl(home, 'double', { value: 'x' })).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('replaces a socket file that a killed program left', async () => {
    const home = newHome(directoryOf(scratch));
    fs.writeFileSync(path.join(home.directory, 'control.sock'), '');
    await expect(callControl(home, 'double', { value: 1 })).rejects.toMatchObject({ code: 'NOT_RUNNING' });
    await serve(home);
    expect(await callControl(home, 'double', { value: 1 })).toBe(2);
  });

  it('answers what is waited for when it closes, and removes the socket file', async () => {
    const home = newHome(directoryOf(scratch));
    await serve(home);
    const waiting = callControl(home, 'forever', {});
    const refused = expect(waiting).rejects.toMatchObject({ code: 'NOT_RUNNING' });
    await expect(callControl(home, 'about', {})).resolves.toEqual({ pid: 1 });
    await server?.close();
    await refused;
    expect(fs.existsSync(path.join(home.directory, 'control.sock'))).toBe(false);
  });
});

it('stops the work for a caller that went away', async () => {
  const home = newHome(scratch);
  await serve(home);
  const caller = net.connect(path.join(home.directory, 'control.sock'));
  caller.write(
    'POST /v1/forever HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
  );
  await expect(callControl(home, 'about', {})).resolves.toEqual({ pid: 1 });
  caller.destroy();
  expect(await aborted).toBe('LINK_CLOSED');
});

it('gives the home to a command when nothing runs, and to one at a time', async () => {
  const home = newHome(scratch);
  const lock = await findProgram(home, 'mastokeep-agent');
  expect(lock).not.toBeNull();
  expect(() => lockHome(home, 'mastokeep-agent', 50)).toThrowError(
    expect.objectContaining({
      code: 'ALREADY_RUNNING',
      message: expect.stringContaining(String(process.pid)) as unknown,
    }),
  );
  lock?.release();
  lockHome(home, 'mastokeep-agent', 50).release();
});

it('waits for a program that holds the home and does not listen yet', async () => {
  const home = newHome(scratch);
  const lock = lockHome(home, 'mastokeep-agent', 50);
  const found = findProgram(home, 'mastokeep-agent');
  setTimeout(() => void serve(home), 700);
  expect(await found).toBeNull();
  lock.release();
});
