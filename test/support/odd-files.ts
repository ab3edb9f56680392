import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** What stands at an odd name; `skipped` things never leave the agent. */
export type OddFile = { name: Buffer; what: string; skipped: boolean };

const mebibyte = 1024 * 1024;

/**
 * Makes names and contents in `directory` that programs tend to get wrong: spaces, newlines, emoji, bytes that are
 * not UTF-8, 255 bytes, deep, empty, sparse, links, a FIFO, an empty directory, set-user-id and unusual modes, exact
 * nanoseconds, times before 1970 and far in the future.
 */
export function makeOddFiles(directory: string): OddFile[] {
  fs.mkdirSync(directory, { recursive: true });
  const made: OddFile[] = [];
  const at = (name: Buffer): Buffer => Buffer.concat([Buffer.from(`${directory}/`), name]);
  const note = (name: string | Buffer, what: string, skipped = false): Buffer => {
    const bytes = Buffer.from(name as string);
    made.push({ name: bytes, what, skipped });
    return at(bytes);
  };

  fs.writeFileSync(note(' two  spaces .txt', 'spaces'), 'spaces');
  fs.writeFileSync(note('new\nline\ttab', 'a newline and a tab'), 'newline');
  fs.writeFileSync(note('🐘 Mastodön.png', 'emoji and an umlaut'), 'emoji');
  fs.writeFileSync(note('--help', 'looks like an option'), 'option');
  fs.writeFileSync(note('back\\slash*?[a]"\'$(x)', 'characters of shells and patterns'), 'shell');
  fs.writeFileSync(note('photo~20250101-000000.jpg', 'looks like a version'), 'version');
  fs.writeFileSync(note(Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x2e, 0x67]), 'invalid UTF-8'), 'bytes');
  fs.writeFileSync(note('n'.repeat(255), 'a name of 255 bytes'), 'long');
  fs.writeFileSync(note('empty', 'an empty file'), '');
  fs.mkdirSync(note('empty directory', 'an empty directory'), { mode: 0o750 });
  fs.chmodSync(at(Buffer.from('empty directory')), 0o750);

  const deep = Array.from({ length: 40 }, (_, level) => `level-${level}`).join('/');
  fs.mkdirSync(path.join(directory, deep), { recursive: true });
  fs.writeFileSync(note(`${deep}/bottom`, 'a deep path'), 'deep');

  const sparse = fs.openSync(note('sparse', 'a sparse file'), 'w');
  fs.writeSync(sparse, 'end', 3 * mebibyte);
  fs.closeSync(sparse);

  fs.writeFileSync(note('private', 'mode 0600'), 'private');
  fs.chmodSync(path.join(directory, 'private'), 0o600);
  fs.writeFileSync(note('program', 'mode 04755'), '#!/bin/sh\n');
  fs.chmodSync(path.join(directory, 'program'), 0o4755);

  for (const [name, time] of [
    ['nanoseconds', '2024-02-29T12:34:56.123456789Z'],
    ['before 1970', '1965-04-03T02:01:00.000000001Z'],
    ['far future', '2105-12-31T23:59:59.999999999Z'],
  ] as const) {
    fs.writeFileSync(note(name, `modified ${time}`), name);
    execFileSync('touch', ['-d', time, path.join(directory, name)]);
  }

  fs.symlinkSync('sparse', note('link', 'a symbolic link'));
  fs.symlinkSync('../../nowhere/at all', note('dangling link', 'a dangling symbolic link'));
  fs.symlinkSync(Buffer.from([0x2f, 0xff, 0x01]), note('byte link', 'a link whose target is not UTF-8'));
  execFileSync('mkfifo', [note('fifo', 'a FIFO', true).toString()]);
  return made;
}
