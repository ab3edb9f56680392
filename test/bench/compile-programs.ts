import { execFileSync } from 'node:child_process';
import path from 'node:path';

const checkout = path.resolve(import.meta.dirname, '../..');

/** Makes `dist/`, which is what an installation runs, from the sources as they are; quick where nothing changed. */
export function compilePrograms(): void {
  const compiler = path.join(checkout, 'node_modules', '.bin', 'tsc');
  execFileSync(compiler, ['-b', 'agent', 'receiver'], { cwd: checkout, stdio: 'inherit' });
}
