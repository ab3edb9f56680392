import fs from 'node:fs';
import path from 'node:path';
import { syncDirectory, writeFileAtomic, writeFileAtomicLater } from '../../shared/io/atomic-file.ts';
import { parseSealedObjectName } from '../../shared/sealing/object-name.ts';

const parts = ['packs', 'versions'] as const;

/** The directory where sealed objects of one folder wait for receivers, each under its own name. */
export class Spool {
  readonly directory: string;

  /** Makes the directory where it is missing. */
  constructor(directory: string) {
    this.directory = directory;
    for (const part of parts) fs.mkdirSync(path.join(directory, part), { recursive: true, mode: 0o700 });
  }

  /** Durable when it returns: content, name and directory are on disk. */
  write(name: string, bytes: Uint8Array): void {
    writeFileAtomic(path.join(this.directory, name), bytes);
  }

  /** Durable when the promise resolves; `bytes` are not needed any more when the call returns. */
  async writeLater(name: string, bytes: Uint8Array): Promise<void> {
    await writeFileAtomicLater(path.join(this.directory, name), bytes);
  }

  /** Files that are gone already are no error. */
  remove(names: Iterable<string>): void {
    for (const name of names) fs.rmSync(path.join(this.directory, name), { force: true });
  }

  holds(name: string, bytes: number): boolean {
    return fs.statSync(path.join(this.directory, name), { throwIfNoEntry: false })?.size === bytes;
  }

  /** Removes whatever is none of `expected`: what a crash left between the file and the database. */
  removeOthers(expected: ReadonlySet<string>): void {
    for (const part of parts) {
      const directory = path.join(this.directory, part);
      let removed = false;
      for (const file of fs.readdirSync(directory)) {
        const name = `${part}/${file}`;
        if (expected.has(name)) continue;
        if (parseSealedObjectName(name) === null && !file.endsWith('.tmp')) continue;
        fs.rmSync(path.join(directory, file), { force: true });
        removed = true;
      }
      if (removed) syncDirectory(directory);
    }
  }

  /** Bytes that the file system still has for us. */
  freeBytes(): number {
    const { bavail, bsize } = fs.statfsSync(this.directory);
    return bavail * bsize;
  }
}
