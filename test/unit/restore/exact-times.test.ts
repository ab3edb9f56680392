import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startTimeStamper, type TimeStamper } from '../../../agent/restore/exact-times.ts';

const programPath = process.env['PATH'];
let directory: string;
let stamper: TimeStamper | null = null;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-times-'));
});
afterEach(() => {
  stamper?.stop();
  stamper = null;
  process.env['PATH'] = programPath;
  fs.rmSync(directory, { recursive: true, force: true });
});

/** Only these programs can be found from now on. */
function onlyPrograms(...names: string[]): void {
  const bin = path.join(directory, 'bin');
  fs.mkdirSync(bin);
  for (const name of names) fs.symlinkSync(path.join('/usr/bin', name), path.join(bin, name));
  process.env['PATH'] = bin;
}

async function stampAll(timesNs: readonly bigint[]): Promise<bigint[]> {
  const target = path.join(directory, 'target');
  fs.writeFileSync(target, '');
  const files = timesNs.map((_, at) => {
    const file = Buffer.concat([Buffer.from(directory), Buffer.from(`/${at} \n%\\`), Buffer.from([0xff])]);
    if (at % 2 === 0) fs.writeFileSync(file, 'x');
    else fs.symlinkSync(target, file);
    return file;
  });
  const before = fs.statSync(target, { bigint: true }).mtimeNs;
  await stamper?.stamp(files.map((file, at) => ({ file, mtimeNs: timesNs[at] ?? 0n })));
  expect(fs.statSync(target, { bigint: true }).mtimeNs).toBe(before);
  return files.map((file) => fs.lstatSync(file, { bigint: true }).mtimeNs);
}

const timesNs = [
  1_790_000_000_999_999_999n,
  1_790_000_000_000_000_001n,
  1n,
  0n,
  -1n,
  -1_500_000_001n,
  2_000_000_000_123_456_789n,
];

it.each([
  ['perl', ['perl']],
  ['touch', ['xargs', 'touch']],
] as const)('sets every nanosecond of files and links by %s', async (method, programs) => {
  onlyPrograms(...programs);
  stamper = await startTimeStamper(directory);
  expect(stamper.method).toBe(method);
  expect(await stampAll(timesNs)).toEqual(timesNs);
});

it('comes within a microsecond where there is neither perl nor touch', async () => {
  onlyPrograms();
  stamper = await startTimeStamper(directory);
  expect(stamper.method).toBe('node');
  const found = await stampAll(timesNs.slice(0, 3));
  for (const [at, timeNs] of found.entries()) {
    expect(Math.abs(Number(timeNs - (timesNs[at] ?? 0n)))).toBeLessThan(1000);
  }
});

it('leaves nothing of its probe behind and goes on after a file that vanished', async () => {
  stamper = await startTimeStamper(directory);
  expect(fs.readdirSync(directory)).toEqual([]);
  const file = Buffer.from(path.join(directory, 'here'));
  fs.writeFileSync(file, '');
  await stamper.stamp([
    { file: Buffer.from(path.join(directory, 'gone')), mtimeNs: 5n },
    { file, mtimeNs: 7n },
  ]);
  expect(fs.statSync(file, { bigint: true }).mtimeNs).toBe(7n);
});

it('sets the times of many files in one go', async () => {
  stamper = await startTimeStamper(directory);
  const files = Array.from({ length: 5000 }, (_, at) => Buffer.from(path.join(directory, String(at))));
  for (const file of files) fs.writeFileSync(file, '');
  const exact = (at: number): bigint => 1_790_000_000_000_000_000n + BigInt(at) * 1_000_003n;
  await Promise.all([
    stamper.stamp(files.slice(0, 2500).map((file, at) => ({ file, mtimeNs: exact(at) }))),
    stamper.stamp(files.slice(2500).map((file, at) => ({ file, mtimeNs: exact(at + 2500) }))),
  ]);
  for (const [at, file] of files.entries())
    expect(fs.statSync(file, { bigint: true }).mtimeNs).toBe(exact(at));
});
