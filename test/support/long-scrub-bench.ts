import fs from 'node:fs';
import type { FolderSubject } from '../../receiver/scrub/folder-subject.ts';
import { scrubPositionSchema, type ScrubPosition } from '../../receiver/scrub/scrub-position.ts';
import type { ScrubStep } from '../../receiver/scrub/scrub-subject.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { diskError, type Disk } from '../../shared/io/disk.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { LogRecorder } from './log-recorder.ts';
import { subjectOf } from './scrub-store.ts';
import { FeedFake, storeFixture } from './store-fixture.ts';
import { memoryDirectory } from './temporary-directory.ts';

/** Small enough for files of a few kB to be long, and read in many stretches. */
export const smallLimits = { longFile: 1000, page: 256 };

/** Bytes that no two places of a file share. */
export function longContent(seed: string, size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, at) => (at * 7 + (at >> 8) * 13 + seed.length) & 0xff));
}

/** What goes wrong when a file is read, though nobody has changed it. */
export type Rot = {
  /** Positions at which it reads wrong. */
  wrongAt?: readonly number[];
  /** From where on it cannot be read. */
  failsAt?: number;
};

/** A disk that counts what is read of each file of a store, and reads some of them wrong. */
export class RottingDisk {
  readonly read = new Map<string, number>();
  readonly rot = new Map<string, Rot>();
  readonly disk: Disk;
  /** Whether its file system gives all files the same times. */
  isTimeless = false;
  /** Told of each reading before it. */
  onRead: (name: string, position: number) => void = () => {};

  /** `root`: names are told below it. */
  constructor(root: () => string) {
    this.disk = { ...nodeDisk };
    this.disk.stat = (place) => {
      const stat = nodeDisk.stat(place);
      return stat === null || !this.isTimeless ? stat : { ...stat, mtimeNs: 0n, ctimeNs: 0n };
    };
    this.disk.readLater = async (fd, target, position) => {
      const place = fs.readlinkSync(`/proc/self/fd/${fd}`);
      const name = place.slice(root().length + 1);
      this.onRead(name, position);
      const { wrongAt = [], failsAt = Number.POSITIVE_INFINITY } = this.rot.get(name) ?? {};
      if (position + target.length > failsAt)
        throw diskError(Object.assign(new Error('rot'), { code: 'EIO' }), 'read', place);
      const length = await nodeDisk.readLater(fd, target, position);
      this.read.set(name, (this.read.get(name) ?? 0) + length);
      for (const at of wrongAt)
        if (at >= position && at < position + length)
          target[at - position] = (target[at - position] ?? 0) ^ 1;
      return length;
    };
  }

  /** How much of it was read since the last time. */
  takeRead(name: string): number {
    const read = this.read.get(name) ?? 0;
    this.read.delete(name);
    return read;
  }
}

/** A mirror store with long files, and a scrub of it that ends and goes on as often as one likes. */
export class LongScrubBench {
  readonly directory = memoryDirectory();
  readonly log = new LogRecorder();
  readonly rotting = new RottingDisk(() => this.fixture.root);
  readonly fixture = storeFixture(
    this.directory,
    { disk: this.rotting.disk, logger: this.log },
    { scrubLimits: smallLimits, retention: { kind: 'points', floorDays: 0 } },
  );
  readonly feed = new FeedFake(() => this.store);
  at: ScrubPosition | null = 'files';
  /** What the pace was told, but for what counts for nothing. */
  counted = 0;
  readonly found: string[] = [];
  /** Whether something could not be read through. */
  skipped = false;
  #open: MirrorStore | null = null;

  get store(): MirrorStore {
    if (this.#open === null) throw new Error('the store is closed');
    return this.#open;
  }

  get subject(): FolderSubject {
    return subjectOf(this.store);
  }

  async begin(contents: Record<string, Buffer>): Promise<void> {
    this.#open = await this.fixture.open();
    await this.feed.send(contents);
    await this.feed.complete();
  }

  place(name: string): string {
    return `${this.fixture.root}/${name}`;
  }

  /** One step, as a scrubber takes it. False: the pass is over. */
  async step(pace: () => Promise<void> = async () => {}): Promise<boolean> {
    let counted = 0;
    const step: ScrubStep = await this.subject.read(this.at, async (bytes) => {
      counted += bytes;
      await pace();
    });
    this.counted += counted - step.again;
    this.found.push(...step.found);
    this.skipped ||= step.skipped;
    this.at = step.next;
    return step.next !== null;
  }

  /** Steps until it has come so far into the file, in that look. */
  async stepInto(name: string, offset: number, first: 'size' | 'content' | 'unreadable' | null = null) {
    for (;;) {
      const { at } = this;
      if (typeof at === 'object' && at?.in === name && at.first === first && at.offset >= offset) return at;
      if (!(await this.step())) throw new Error(`the pass ended before it came into ${name}`);
    }
  }

  async finish(): Promise<void> {
    while (await this.step());
  }

  /** Another process goes on with what was written down. */
  async restart(): Promise<void> {
    await this.store.close();
    this.#open = await this.fixture.open();
    this.at = scrubPositionSchema.nullable().parse(JSON.parse(JSON.stringify(this.at)));
  }

  async end(): Promise<void> {
    await this.#open?.close();
    fs.rmSync(this.directory, { recursive: true });
  }
}
