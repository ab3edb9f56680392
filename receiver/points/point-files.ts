import { crashPoint } from '../../shared/io/crash-point.ts';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { isIntactLine } from '../../shared/io/checked-line.ts';
import { diskErrorCode, diskPath, type Disk, type DiskPath } from '../../shared/io/disk.ts';
import { removeFile, writeWhole } from '../store/journal.ts';
import { decodeFact, encodeFact, type PointFact } from './point-fact.ts';

/** Far above what any file here has; what is larger was not written by this program. */
const fileBytesMax = 512 * 1024 * 1024;
const newline = 0x0a;
const damagedJournalName = 'facts.journal.damaged';

/**
 * The directory `points/` of an agent: `ID.json` and `ID.json.sig` of each point, and `facts.journal`.
 * @see docs/storage-format.md#restore-points
 */
export class PointFiles {
  readonly #disk: Disk;
  readonly #directory: DiskPath;
  #journal: number | null = null;

  constructor({ disk }: { disk: Disk }, options: { directory: string }) {
    this.#disk = disk;
    this.#directory = diskPath(options.directory);
  }

  exists(): boolean {
    return this.#disk.stat(this.#directory) !== null;
  }

  /** Makes the directory, below one that exists. */
  async make(): Promise<void> {
    const parent = this.#directory.slice(0, this.#directory.lastIndexOf('/'));
    for (const directory of [parent, this.#directory]) {
      if (this.#disk.stat(directory) !== null) continue;
      this.#disk.mkdir(directory);
      await this.#disk.syncDirectory(directory.slice(0, directory.lastIndexOf('/')));
    }
  }

  /** IDs of the points whose records are here. Removes what a kill left half-written. */
  list(): string[] {
    const names = this.#disk.list(this.#directory);
    for (const name of names) if (name.endsWith('.tmp')) removeFile(this.#disk, this.#file(name));
    return names.flatMap((name) => /^(.*)\.json$/.exec(name)?.[1] ?? []);
  }

  /** Both files of a point; null where one is not here. */
  read(id: string): { record: Buffer; signature: Buffer } | null {
    const record = this.#readWhole(`${id}.json`);
    const signature = this.#readWhole(`${id}.json.sig`);
    return record === null || signature === null ? null : { record, signature };
  }

  /** The same, and null as well where the disk refuses to read it. */
  readIfReadable(id: string): { record: Buffer; signature: Buffer } | null {
    return unlessUnreadable(() => this.read(id));
  }

  /** Whether all of the journal is intact and has so many facts. */
  hasFacts(count: number): boolean {
    const bytes = unlessUnreadable(() => this.#readWhole('facts.journal'));
    if (bytes === null || bytes.at(-1) !== newline) return false;
    const lines = bytes.toString('latin1').split('\n').slice(0, -1);
    return lines.length === count && lines.every((line) => isIntactLine(Buffer.from(line, 'latin1')));
  }

  /** Names that are neither of these points nor of this program. */
  extras(known: ReadonlySet<string>): string[] {
    if (!this.exists()) return [];
    return this.#disk.list(this.#directory).filter((name) => {
      const id = /^(.*)\.json(\.sig)?$/.exec(name)?.[1];
      if (id !== undefined) return !known.has(id);
      return !/^(lock|facts\.journal)/.test(name);
    });
  }

  /** Durable when it resolves: first the signature, so that a record is never without one. */
  async write(id: string, record: Buffer, signature: Buffer): Promise<void> {
    await writeWhole(this.#disk, this.#directory, this.#file(`${id}.json.sig`), signature);
    crashPoint('points.signature-written');
    await writeWhole(this.#disk, this.#directory, this.#file(`${id}.json`), record);
    crashPoint('points.record-written');
  }

  /** Durable when it resolves. */
  async remove(ids: Iterable<string>): Promise<void> {
    for (const id of ids) {
      removeFile(this.#disk, this.#file(`${id}.json`));
      crashPoint('points.file-removed');
      removeFile(this.#disk, this.#file(`${id}.json.sig`));
    }
    await this.#disk.syncDirectory(this.#directory);
  }

  /** The facts in the order in which they were written, and how many lines are damaged before the end; cuts off a torn end. */
  readFacts(): { facts: PointFact[]; damaged: number } {
    const bytes = this.#readWhole('facts.journal') ?? Buffer.alloc(0);
    const facts: PointFact[] = [];
    let damaged = 0;
    let start = 0;
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
      const fact = decodeFact(bytes.subarray(start, end));
      if (fact === null) damaged += 1;
      else facts.push(fact);
      start = end + 1;
    }
    if (start < bytes.length) this.#cut(start);
    return { facts, damaged };
  }

  /** Durable when it resolves; after a failure the end of the journal is unknown until it is read again. */
  async append(facts: readonly PointFact[]): Promise<void> {
    this.#journal ??= this.#disk.open(this.#file('facts.journal'), 'append');
    this.#disk.write(this.#journal, Buffer.concat(facts.map(encodeFact)), null);
    crashPoint('points.fact-written');
    await this.#disk.syncData(this.#journal);
    crashPoint('points.fact-synced');
  }

  /** Puts these facts in place of all there are, whole or not at all; durable when it resolves. */
  async replaceFacts(facts: readonly PointFact[]): Promise<void> {
    this.close();
    await writeWhole(
      this.#disk,
      this.#directory,
      this.#file('facts.journal'),
      Buffer.concat(facts.map(encodeFact)),
    );
    crashPoint('points.facts-replaced');
  }

  /**
   * Gives the journal a second name, under which it stays when facts take its place; the first such file is kept. Of a
   * journal that is gone it is empty.
   */
  async keepDamagedJournal(): Promise<void> {
    const [journal, kept] = [this.#file('facts.journal'), this.#file(damagedJournalName)];
    if (this.#disk.stat(kept) !== null) return;
    if (this.#disk.stat(journal) === null)
      await writeWhole(this.#disk, this.#directory, kept, Buffer.alloc(0));
    else this.#disk.link(journal, kept);
  }

  /** The path of that file, for people; null where there is none. */
  damagedJournal(): string | null {
    const kept = this.#file(damagedJournalName);
    return this.#disk.stat(kept) === null ? null : Buffer.from(kept, 'latin1').toString();
  }

  close(): void {
    if (this.#journal !== null) this.#disk.close(this.#journal);
    this.#journal = null;
  }

  #cut(size: number): void {
    const fd = this.#disk.open(this.#file('facts.journal'), 'update');
    try {
      this.#disk.truncate(fd, size);
    } finally {
      this.#disk.close(fd);
    }
  }

  #readWhole(name: string): Buffer | null {
    const file = this.#file(name);
    const stat = this.#disk.stat(file);
    if (stat?.kind !== 'file' || stat.size > fileBytesMax) return null;
    let fd: number;
    try {
      fd = this.#disk.open(file, 'read');
    } catch (error) {
      if (diskErrorCode(error) === 'ENOENT') return null;
      throw error;
    }
    try {
      const bytes = Buffer.alloc(stat.size);
      let length = 0;
      while (length < bytes.length) {
        const more = this.#disk.read(fd, bytes.subarray(length), length);
        if (more === 0) break;
        length += more;
      }
      return bytes.subarray(0, length);
    } finally {
      this.#disk.close(fd);
    }
  }

  #file(name: string): DiskPath {
    return `${this.#directory}/${name}`;
  }
}

function unlessUnreadable<Result>(read: () => Result | null): Result | null {
  try {
    return read();
  } catch (error) {
    if (isCoded(error, 'DISK_FAILED')) return null;
    throw error;
  }
}
