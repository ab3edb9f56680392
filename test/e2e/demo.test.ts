import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { makeOddFiles } from '../support/odd-files.ts';
import { compareTrees } from '../support/tree-compare.ts';
import { until } from '../support/until.ts';

const demo = path.resolve(import.meta.dirname, '../demo/main.ts');

let directory: string;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-demo-test-'));
});

afterEach(async () => {
  await untilEnded();
  fs.rmSync(directory, { recursive: true, force: true });
});

it('shows the main job with a sample tree and a sealed dump, and ends everything it started', async () => {
  const { code, stdout, stderr } = await runDemo([]);
  expect(stderr).toBe('');
  expect(code, stdout).toBe(0);
  expect(stdout).toMatch(/every byte, mode and time is the same/);
  expect(stdout).toMatch(/the last dump, byte for byte/);
  expect(stdout).toMatch(/the same bytes as before its deletion/);
  expect(stdout).toMatch(/rm -rf \S+mastokeep-demo-/);
  expect(stdout).not.toContain('\u001B');
  await untilEnded();
});

it('does the same with a directory of the user, which it only reads', async () => {
  const media = path.join(directory, 'public system');
  MastodonTree.make(media, { seed: 'demo', files: 80, cacheFiles: 5 });
  makeOddFiles(path.join(media, 'odd'));
  const reference = path.join(directory, 'reference');
  execFileSync('cp', ['-a', media, reference]);
  const { code, stdout, stderr } = await runDemo(['--media', media]);
  expect(code, stdout + stderr).toBe(0);
  expect(stdout).toMatch(/every byte, mode and time is the same/);
  expect(compareTrees(reference, media, { owners: true }).differences).toEqual([]);
});

it.each([
  [
    'a directory that is not there',
    ['--media', '/no/such/directory'],
    /\/no\/such\/directory does not exist/,
  ],
  ['a file', ['--media', demo], /main.ts is not a directory/],
  ['no value', ['--media'], /--media/],
  ['an option it does not have', ['--meida', '/tmp'], /--meida/],
  ['the directory that it works in', ['--media', '/'], /contains/],
])('says what is wrong with %s, and starts nothing', async (_what, args, message) => {
  const { code, stdout, stderr } = await runDemo(args);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(stdout).toBe('');
  expect(fs.readdirSync(directory)).toEqual([]);
});

it('ends its programs when it is interrupted', async () => {
  const child = spawn(process.execPath, [demo], { env: { ...process.env, TMPDIR: directory } });
  await saidBy(child.stdout, 'two processes');
  expect(processesOf(directory).length).toBeGreaterThanOrEqual(2);
  child.kill('SIGINT');
  const [code] = (await once(child, 'exit')) as [number];
  expect(code).toBe(130);
  await untilEnded();
});

it('ends its programs when nobody reads what it says any more', async () => {
  const child = spawn(process.execPath, [demo], { env: { ...process.env, TMPDIR: directory } });
  await saidBy(child.stdout, 'two processes');
  child.stdout.destroy();
  await once(child, 'exit');
  await untilEnded();
});

async function saidBy(stdout: Readable, text: string): Promise<void> {
  let output = '';
  await new Promise<void>((resolve) => {
    stdout.setEncoding('utf8').on('data', (piece: string) => {
      output += piece;
      if (output.includes(text)) resolve();
    });
  });
}

async function runDemo(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [demo, ...args], {
    env: { ...process.env, TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [code]] = await Promise.all([
    child.stdout.setEncoding('utf8').toArray(),
    child.stderr.setEncoding('utf8').toArray(),
    once(child, 'close') as Promise<[number]>,
  ]);
  return { code, stdout: stdout.join(''), stderr: stderr.join('') };
}

/** Of all that names the directory: a killed process is not gone at once. */
async function untilEnded(): Promise<void> {
  const left = (): string[] => processesOf(directory);
  await until('its programs ended', () => left().length === 0, { explain: () => left().join('\n') });
}

/** Processes whose command line names the directory. */
function processesOf(named: string): string[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return line.includes(named) ? [`${pid} ${line}`] : [];
      } catch {
        return [];
      }
    });
}
