import fs from 'node:fs';
import path from 'node:path';
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

it('counts what a running process takes from a moment on', () => {
  const gone = Buffer.alloc(120 * mib, 1);
  expect(gone[0]).toBe(1);
  const meter = new ProcessMeter(process.pid);
  const held = Buffer.alloc(60 * mib, 1);
  for (let at = 0; at < held.length; at += 4096) held[at] = at & 0xff;
  const { cpuMs, peakBytes } = meter.read();
  expect(peakBytes).toBeGreaterThan(held.length);
  expect(cpuMs).toBeLessThan(10_000);
  const before = meter.read().peakBytes;
  const more = Buffer.alloc(100 * mib, 1);
  expect(more.length).toBe(100 * mib);
  expect(meter.read().peakBytes - before).toBeGreaterThan(80 * mib);
});
