import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { nodeVersionProblem } from '../../shared/node-version.ts';
import { compilePrograms } from '../bench/compile-programs.ts';

const checkout = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const oldNode = ['/usr/bin/node', '/usr/local/bin/node', '/usr/bin/nodejs'].find((node) => {
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return stdout !== null && stdout !== undefined && nodeVersionProblem(stdout.trim().slice(1), '') !== null;
});

describe.skipIf(oldNode === undefined)('the published programs on an older Node.js', () => {
  it.each(['agent', 'receiver'])('%s says which one it needs and ends with 2', (name) => {
    compilePrograms();
    const result = spawnSync(oldNode ?? '', [path.join(checkout, `dist/${name}/main.js`), 'run'], {
      encoding: 'utf8',
    });
    expect(result.status).toBe(2);
    expect(result.stderr).toMatch(
      /^error NODE_TOO_OLD: this is Node\.js \d+.* needs 24\.12 or newer\n {2}\S/,
    );
    expect(result.stdout).toBe('');
  });
});
