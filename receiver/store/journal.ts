import { CodedError } from '../../shared/errors/coded-error.ts';
import { isIntactLine } from '../../shared/io/checked-line.ts';
import { crashPoint } from '../../shared/io/crash-point.ts';
import type { Disk, DiskPath } from '../../shared/io/disk.ts';
import type { HeaderEntry, JournalFormat, JournalEntry } from './journal-entry.ts';
import { decodeJournalLine, encodeJournalLine } from './journal-line.ts';
import type { JournalMark } from './index-meta.ts';

/** About four times what a row takes in a snapshot. */
const compactionBytesPerRow = 1600;

export type JournalIdentity = { format: JournalFormat; agent: string; folder: string };

type Deps = { disk: Disk };

/**
 * The append-only record of everything that a store holds: numbered segment files of checksummed JSON lines.
 * A segment that says `snapshot` supersedes all before it. Only the last segment is ever written to.
 * @see docs/storage-format.md#journal
 */
export class Journal {
  readonly #disk: Disk;
  readonly #directory: DiskPath;
  readonly #identity: JournalIdentity;
  #segments: number[];
  #fd: number | null = null;
  #mark: JournalMark;
  #endsWithSnapshot: boolean;
  #bytes: number;
  readonly #segmentBytesMax: number;

  constructor(
    { disk }: Deps,
    options: {
      directory: DiskPath;
      identity: JournalIdentity;
      segments: number[];
      mark: JournalMark;
      /** The last segment is a snapshot, which is never appended to. */
      endsWithSnapshot: boolean;
      /** Past this size a segment gets a successor before the next batch, so that what is rewritten at open stays small. */
      segmentBytesMax: number;
    },
  ) {
    this.#disk = disk;
    this.#directory = options.directory;
    this.#identity = options.identity;
    this.#segments = options.segments;
    this.#mark = options.mark;
    this.#endsWithSnapshot = options.endsWithSnapshot;
    this.#segmentBytesMax = options.segmentBytesMax;
    const sizes = options.segments.map((segment) => disk.stat(this.#file(segment))?.size ?? 0);
    this.#bytes = sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Where the last line ends. */
  get mark(): JournalMark {
    return this.#mark;
  }

  /** Bytes of all segments. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Numbers of the segments that count, the oldest first. */
  get segments(): readonly number[] {
    return this.#segments;
  }

  /** Appends the entries in one write; nothing is durable before `sync`. */
  append(entries: readonly JournalEntry[]): void {
    const lines = entries.map(encodeJournalLine);
    const bytes = Buffer.concat(lines);
    const last = lines.at(-1);
    if (last === undefined) return;
    this.#fd ??= this.#disk.open(this.#file(this.#mark.segment), 'append');
    this.#disk.write(this.#fd, bytes, null);
    this.#bytes += bytes.byteLength;
    this.#mark = {
      segment: this.#mark.segment,
      offset: this.#mark.offset + bytes.byteLength,
      checksum: last.toString('latin1', 0, 8),
    };
  }

  async sync(): Promise<void> {
    if (this.#fd !== null) await this.#disk.syncData(this.#fd);
  }

  /** Whether a snapshot of so many rows would be far smaller than what there is. */
  isWorthCompacting(rows: number): boolean {
    return this.#bytes > this.#segmentBytesMax / 2 + rows * compactionBytesPerRow;
  }

  /** Whether a file of that name in its directory is one that the journal has, makes, or has set aside. */
  isOwnName(name: string): boolean {
    const [, segment, rest] = /^(\d{6,})\.journal(\.tmp|\.damaged)?$/.exec(name) ?? [];
    return segment !== undefined && (rest !== undefined || this.#segments.includes(Number(segment)));
  }

  /** Starts a new segment when the last one is large or is a snapshot. Only between batches. */
  async rotate(): Promise<void> {
    if (this.#mark.offset < this.#segmentBytesMax && !this.#endsWithSnapshot) return;
    await this.#startSegment();
  }

  /**
   * Replaces all that was before by a snapshot: durable, and the old segments gone, when it resolves. `keepOld`: they
   * stay beside it as `….journal.damaged`, for a person to look at.
   */
  async replaceBySnapshot(
    entries: Iterable<readonly JournalEntry[]>,
    old: 'removeOld' | 'keepOld' = 'removeOld',
  ): Promise<void> {
    const segment = this.#mark.segment + 1;
    const temporary = `${this.#file(segment)}.tmp`;
    removeFile(this.#disk, temporary);
    const fd = this.#disk.open(temporary, 'create');
    let mark: JournalMark;
    try {
      let offset = 0;
      let last = encodeJournalLine(this.#header(segment, true));
      this.#disk.write(fd, last, offset);
      offset += last.byteLength;
      for (const group of entries) {
        const lines = group.map(encodeJournalLine);
        last = lines.at(-1) ?? last;
        const bytes = Buffer.concat(lines);
        this.#disk.write(fd, bytes, offset);
        offset += bytes.byteLength;
        await yieldToOthers();
      }
      mark = { segment, offset, checksum: last.toString('latin1', 0, 8) };
      crashPoint('store.snapshot-written');
      await this.#disk.syncData(fd);
    } finally {
      this.#disk.close(fd);
    }
    this.#disk.rename(temporary, this.#file(segment));
    await this.#disk.syncDirectory(this.#directory);
    crashPoint('store.snapshot-renamed');
    this.#closeFile();
    const superseded = this.#segments;
    this.#segments = [segment];
    this.#mark = mark;
    this.#bytes = mark.offset;
    this.#endsWithSnapshot = true;
    for (const segment of superseded) {
      const file = this.#file(segment);
      if (old === 'removeOld') removeFile(this.#disk, file);
      else if (this.#disk.stat(file) !== null) this.#disk.rename(file, `${file}.damaged`);
    }
    await this.#disk.syncDirectory(this.#directory);
  }

  async #startSegment(): Promise<void> {
    const segment = this.#mark.segment + 1;
    const line = encodeJournalLine(this.#header(segment, false));
    await writeWhole(this.#disk, this.#directory, this.#file(segment), line);
    crashPoint('store.segment-added');
    this.#closeFile();
    this.#segments.push(segment);
    this.#bytes += line.byteLength;
    this.#mark = { segment, offset: line.byteLength, checksum: line.toString('latin1', 0, 8) };
    this.#endsWithSnapshot = false;
  }

  close(): void {
    this.#closeFile();
  }

  #closeFile(): void {
    if (this.#fd !== null) this.#disk.close(this.#fd);
    this.#fd = null;
  }

  #header(segment: number, snapshot: boolean): HeaderEntry {
    return journalHeader(this.#identity, segment, snapshot);
  }

  #file(segment: number): DiskPath {
    return segmentFile(this.#directory, segment);
  }
}

export function journalHeader(identity: JournalIdentity, segment: number, snapshot: boolean): HeaderEntry {
  const { format, agent, folder } = identity;
  return {
    type: 'header',
    format,
    formatVersion: 1,
    agent,
    folder,
    segment,
    snapshot,
  };
}

export function segmentFile(directory: DiskPath, segment: number): DiskPath {
  return `${directory}/${String(segment).padStart(6, '0')}.journal`;
}

/** Content and name are on disk when it resolves. */
export async function writeWhole(
  disk: Disk,
  directory: DiskPath,
  file: DiskPath,
  content: Uint8Array,
): Promise<void> {
  const temporary = `${file}.tmp`;
  removeFile(disk, temporary);
  const fd = disk.open(temporary, 'create');
  try {
    disk.write(fd, content, 0);
    await disk.syncData(fd);
  } finally {
    disk.close(fd);
  }
  disk.rename(temporary, file);
  await disk.syncDirectory(directory);
}

export function removeFile(disk: Disk, file: DiskPath): void {
  if (disk.stat(file) !== null) disk.unlink(file);
}

/** The intact entries of a segment in order, with where each ends; a damaged line comes as `damagedAt`, a torn end too. */
export function* readSegment(
  disk: Disk,
  directory: DiskPath,
  segment: number,
  from = 0,
): Generator<{ line: Buffer; intact: boolean; mark: JournalMark }> {
  const fd = disk.open(segmentFile(directory, segment), 'read');
  try {
    let offset = from;
    let rest: Buffer = Buffer.alloc(0);
    const chunk = Buffer.allocUnsafeSlow(1024 * 1024);
    for (let at = from; ;) {
      const length = disk.read(fd, chunk, at);
      if (length === 0) break;
      at += length;
      const bytes = Buffer.concat([rest, chunk.subarray(0, length)]);
      let start = 0;
      for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
        const line = bytes.subarray(start, end);
        offset += line.length + 1;
        start = end + 1;
        yield {
          line,
          intact: isIntactLine(line),
          mark: { segment, offset, checksum: line.toString('latin1', 0, 8) },
        };
      }
      rest = bytes.subarray(start);
    }
    if (rest.length > 0) {
      yield { line: rest, intact: false, mark: { segment, offset: offset + rest.length, checksum: '' } };
    }
  } finally {
    disk.close(fd);
  }
}

/** The segments that count, oldest first: from the last snapshot on. */
export function listSegments(disk: Disk, directory: DiskPath): { live: number[]; superseded: number[] } {
  const all = disk
    .list(directory)
    .flatMap((name) => /^(\d{6,})\.journal$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
  const from = all.findLastIndex((segment) => readHeader(disk, directory, segment)?.snapshot === true);
  return { live: all.slice(Math.max(from, 0)), superseded: all.slice(0, Math.max(from, 0)) };
}

/** Null where the first line is damaged. */
export function readHeader(disk: Disk, directory: DiskPath, segment: number): HeaderEntry | null {
  for (const { line, intact } of readSegment(disk, directory, segment)) {
    if (!intact) return null;
    const entry = decodeJournalLine(line);
    return entry.type === 'header' ? entry : null;
  }
  return null;
}

/** @throws CodedError HOME_INVALID when the journal is of another agent, folder or kind of folder. */
export function assertIdentity(header: HeaderEntry, { format, agent, folder }: JournalIdentity): void {
  if (header.format !== format) {
    throw new CodedError('HOME_INVALID', `the journal of folder ${folder} is a ${header.format}`, {
      hint: 'a folder cannot change between mirror and sealed: give it another id on the agent',
    });
  }
  if (header.agent === agent && header.folder === folder) return;
  throw new CodedError(
    'HOME_INVALID',
    `the journal belongs to folder ${header.folder} of agent ${header.agent}, not to ${folder} of ${agent}`,
    { hint: 'was the data directory moved or renamed?' },
  );
}

export function yieldToOthers(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
