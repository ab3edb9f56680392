import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';

/** `cpuMs`: of all its processes together. `peakBytes`: resident, of the largest one of them. */
export type Measured = { wallMs: number; cpuMs: number; peakBytes: number };

export type MeasuredOptions = {
  /** A file that is its standard input; none where left out. */
  input?: string;
  /** A file that takes its standard output; thrown away where left out. */
  output?: string;
  env?: Readonly<Record<string, string>>;
};

/** Process groups of programs under way, which end with this process. */
const groups = new Set<number>();

process.on('exit', () => {
  for (const group of groups) process.kill(-group, 'SIGKILL');
});

const meter = path.join(import.meta.dirname, 'measure.py');

/** Runs a program to its end and tells what that took. Throws with its last words where it does not end with 0. */
export async function measureProcess(
  argv: readonly string[],
  options: MeasuredOptions = {},
): Promise<Measured> {
  const input = options.input === undefined ? 'ignore' : fs.openSync(options.input, 'r');
  const output = options.output === undefined ? 'ignore' : fs.openSync(options.output, 'w', 0o600);
  try {
    const child = spawn('python3', [meter, ...argv], {
      stdio: [input, output, 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      detached: true,
    });
    const group = child.pid;
    if (group !== undefined) groups.add(group);
    child.once('exit', () => void groups.delete(group ?? 0));
    let said = '';
    let figures = '';
    child.stderr?.on('data', (piece: Buffer) => (said = (said + piece.toString('utf8')).slice(-4000)));
    child.stdio[3]?.on('data', (piece: Buffer) => (figures += piece.toString('utf8')));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`${argv.join(' ')} failed (${code ?? 'killed'}): ${said.trim()}`);
    return JSON.parse(figures) as Measured;
  } finally {
    for (const fd of [input, output]) if (typeof fd === 'number') fs.closeSync(fd);
  }
}
