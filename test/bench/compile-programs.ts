import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const checkout = path.resolve(import.meta.dirname, '../..');

/**
 * Makes `dist/`, which is what an installation runs, from the sources as they are; quick where nothing changed. One process
 * at a time: another one's programs would read files that are half written.
 */
export function compilePrograms(): void {
  const compiler = path.join(checkout, 'node_modules', '.bin', 'tsc');
  const cache = path.join(checkout, 'node_modules', '.cache');
  fs.mkdirSync(cache, { recursive: true });
  const lock = path.join(cache, 'compiling');
  execFileSync('flock', [lock, compiler, '-b', 'agent', 'receiver'], { cwd: checkout, stdio: 'inherit' });
}
