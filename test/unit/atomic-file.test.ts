import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { writeFileAtomic, writeFileAtomicLater } from '../../shared/io/atomic-file.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const writers = [
  { name: 'at once', write: async (file: string, bytes: Buffer) => writeFileAtomic(file, bytes) },
  { name: 'later', write: writeFileAtomicLater },
];

it.each(writers)(
  'a file that is replaced $name holds all of it and nothing else is left',
  async ({ write }) => {
    const directory = memoryDirectory();
    const file = path.join(directory, 'file');
    fs.writeFileSync(file, 'what was there before', { mode: 0o644 });
    const bytes = Buffer.from('new');
    const written = write(file, bytes);
    // the caller uses its memory for something else
    bytes.fill(0);
    await written;
    expect(fs.readFileSync(file, 'utf8')).toBe('new');
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    expect(fs.readdirSync(directory)).toEqual(['file']);
  },
);

it.each(writers)(
  'a file that cannot be replaced $name stays, and nothing else is left',
  async ({ write }) => {
    const directory = memoryDirectory();
    fs.mkdirSync(path.join(directory, 'file', 'in it'), { recursive: true });
    const tried = async (name: string) => write(path.join(directory, name), Buffer.from('new'));
    await expect(tried('file')).rejects.toThrowError(/EISDIR|ENOTEMPTY|EEXIST/);
    await expect(tried('missing/file')).rejects.toThrowError('ENOENT');
    expect(fs.readdirSync(directory, { recursive: true })).toEqual(['file', 'file/in it']);
  },
);
