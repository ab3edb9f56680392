import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';
import { lockDirectory } from '../../shared/io/directory-lock.ts';
import { homeAt } from '../../shared/io/home.ts';
import { lockHome } from '../../shared/io/home-lock.ts';
import { makeNewHome } from '../../shared/io/make-new-home.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

let directory: string;
let umask: number;

beforeEach(() => {
  directory = temporaryDirectory();
  umask = process.umask(0);
});

afterEach(() => {
  process.umask(umask);
});

const at = (name: string): string => path.join(directory, name);

/** By name. */
function modes(): Record<string, string> {
  const names = fs.readdirSync(directory).sort();
  return Object.fromEntries(names.map((name) => [name, (fs.statSync(at(name)).mode & 0o777).toString(8)]));
}

function openWithRow(): ReturnType<typeof openDatabase> {
  const database = openDatabase(at('a.db'));
  onTestFinished(() => void database.close());
  database.exec('CREATE TABLE IF NOT EXISTS t (x); INSERT INTO t VALUES (1)');
  return database;
}

it('databases can be read by their owner only, with the files that SQLite keeps beside them', () => {
  openWithRow();
  expect(modes()).toEqual({ 'a.db': '600', 'a.db-shm': '600', 'a.db-wal': '600' });
});

it('databases that everybody could read are taken from the others when they are opened', () => {
  openWithRow();
  for (const suffix of ['', '-wal', '-shm']) {
    // as a program of an earlier version leaves them when it is killed
    fs.copyFileSync(at(`a.db${suffix}`), at(`copy.db${suffix}`));
    fs.chmodSync(at(`copy.db${suffix}`), 0o644);
  }
  const database = openDatabase(at('copy.db'));
  onTestFinished(() => void database.close());
  expect(database.prepare('SELECT count(*) AS rows FROM t').get()).toEqual({ rows: 1 });
  for (const [name, mode] of Object.entries(modes())) expect([name, mode]).toEqual([name, '600']);
});

it('lock files can be read by their owner only, also those that everybody could read', () => {
  lockDirectory(directory).release();
  expect(modes()).toEqual({ lock: '600' });
  fs.chmodSync(at('lock'), 0o644);
  lockDirectory(directory).release();
  expect(modes()).toEqual({ lock: '600' });
  fs.chmodSync(at('lock'), 0o666);
  lockHome(homeAt(directory, 'agent.yaml'), 'test', 0).release();
  expect(modes()).toEqual({ lock: '600' });
});

it('a lock goes on to hold against other processes when this one tries to take it again', () => {
  const home = homeAt(directory, 'agent.yaml');
  const lock = lockHome(home, 'test', 0);
  const busy: unknown = expect.objectContaining({ code: 'ALREADY_RUNNING' });
  expect(() => lockHome(home, 'test', 0)).toThrowError(busy);
  const elsewhere = (): string => {
    const script = `
      import { homeAt } from './shared/io/home.ts';
      import { lockHome } from './shared/io/home-lock.ts';
      try {
        lockHome(homeAt(process.argv[1], 'agent.yaml'), 'test', 0).release();
        console.log('taken');
      } catch (error) {
        console.log(error.code);
      }`;
    return execFileSync(process.execPath, ['--input-type=module', '-e', script, directory], {
      encoding: 'utf8',
    }).trim();
  };
  expect(elsewhere()).toBe('ALREADY_RUNNING');
  lock.release();
  expect(elsewhere()).toBe('taken');
});

it('a home that another init has made meanwhile is left alone, and a failed one leaves no trace of itself', async () => {
  const home = homeAt(at('home'), 'agent.yaml');
  const failing = makeNewHome(home, 'test', async () => {
    fs.mkdirSync(home.identityDirectory);
    fs.writeFileSync(path.join(home.identityDirectory, 'key.pem'), 'a key');
    throw new Error('the disk is full');
  });
  await expect(failing).rejects.toThrowError('the disk is full');
  expect(fs.readdirSync(home.directory)).toEqual([]);
  await makeNewHome(home, 'test', async () => fs.writeFileSync(home.configFile, 'made'));
  const again = makeNewHome(home, 'test', async () => fs.writeFileSync(home.configFile, 'made again'));
  await expect(again).rejects.toMatchObject({ code: 'HOME_INVALID' });
  expect(fs.readFileSync(home.configFile, 'utf8')).toBe('made');
});
