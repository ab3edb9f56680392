import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';
import { measureProcess } from '../../bench/measured-process.ts';
import { ProcessMeter } from '../../bench/process-meter.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const mib = 1024 * 1024;
const fill = (bytes: number): string => `python3 -c 'print(len(bytearray(b"x" * ${bytes})))'`;

it('counts the memory and the CPU time of what a process has started, too', async () => {
  const small = await measureProcess(['sh', '-c', `${fill(mib)}; true`]);
  const large = await measureProcess(['sh', '-c', `${fill(100 * mib)}; true`]);
  expect(large.peakBytes - small.peakBytes).toBeGreaterThan(80 * mib);
  expect(large.cpuMs).toBeGreaterThan(0);
  expect(large.wallMs).toBeGreaterThan(0);
});

it('gives a program a file to read and keeps what it prints', async () => {
  const directory = temporaryDirectory();
  const [input, output] = [path.join(directory, 'in'), path.join(directory, 'out')];
  fs.writeFileSync(input, 'some words');
  await measureProcess(['tr', 'a-z', 'A-Z'], { input, output });
  expect(fs.readFileSync(output, 'utf8')).toBe('SOME WORDS');
});

it('fails with the last words of a program that fails, and of one that there is not', async () => {
  await expect(measureProcess(['sh', '-c', 'echo why >&2; exit 3'])).rejects.toThrow(/failed \(3\): why/);
  await expect(measureProcess(['no-such-program'])).rejects.toThrow(/no-such-program: No such file/);
});

it('counts what a running process takes from a moment on', async () => {
  const script = [
    'import sys',
    'held = bytearray(b"x" * (200 * 2**20)); del held; print("freed", flush=True)',
    'sys.stdin.readline(); held = bytearray(b"x" * (50 * 2**20))',
    'sum(range(3_000_000)); print("done", flush=True)',
    'sys.stdin.readline()',
  ].join('\n');
  const child = spawn('python3', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  expect(await lines.next()).toMatchObject({ value: 'freed' });
  const meter = new ProcessMeter(child.pid ?? 0);
  child.stdin.write('\n');
  expect(await lines.next()).toMatchObject({ value: 'done' });
  const { cpuMs, peakBytes } = meter.read();
  child.stdin.end('\n');
  await once(child, 'close');
  expect(peakBytes).toBeGreaterThan(50 * mib);
  expect(peakBytes).toBeLessThan(190 * mib);
  expect(cpuMs).toBeGreaterThan(0);
  expect(() => meter.read()).toThrow();
});
