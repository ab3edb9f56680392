import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';

const projectDirectory = path.resolve(import.meta.dirname, '../..');
let house = '';

/** A house with the project's own borders and one small file in each room. */
beforeEach(() => {
  house = fs.mkdtempSync(path.join(os.tmpdir(), 'borders-'));
  fs.symlinkSync(path.join(projectDirectory, 'node_modules'), path.join(house, 'node_modules'));
  fs.copyFileSync(path.join(projectDirectory, 'tsconfig.base.json'), path.join(house, 'tsconfig.base.json'));
  fs.copyFileSync(path.join(projectDirectory, 'package.json'), path.join(house, 'package.json'));
  for (const room of ['shared', 'agent', 'receiver']) {
    fs.mkdirSync(path.join(house, room));
    fs.copyFileSync(
      path.join(projectDirectory, room, 'tsconfig.json'),
      path.join(house, room, 'tsconfig.json'),
    );
    fs.writeFileSync(path.join(house, room, 'thing.ts'), `export const thing = '${room}';\n`);
  }
});
afterEach(() => {
  fs.rmSync(house, { recursive: true });
});

/** What the compiler says about the room, with a file in it that imports from another one. */
async function compile(room: string, from: string): Promise<string> {
  const file = path.join(house, room, 'guest.ts');
  fs.writeFileSync(
    file,
    `import { thing } from '../${from}/thing.ts';\nexport const guest: string = thing;\n`,
  );
  const tsc = path.join(projectDirectory, 'node_modules/.bin/tsc');
  const run = promisify(execFile)(tsc, ['-b', path.join(house, room)], { cwd: house });
  return run.then(
    () => 'compiles',
    (error: unknown) => (error as { stdout: string }).stdout,
  );
}

it.each([
  ['agent', 'shared'],
  ['receiver', 'shared'],
])('%s may import from %s', async (room, from) => {
  expect(await compile(room, from)).toBe('compiles');
});

it.each([
  ['agent', 'receiver'],
  ['receiver', 'agent'],
  ['shared', 'agent'],
  ['shared', 'receiver'],
])('%s cannot be compiled when it imports from %s', async (room, from) => {
  expect(await compile(room, from)).toContain(`${room}/guest.ts`);
});
