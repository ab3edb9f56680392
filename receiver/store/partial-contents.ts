import { createHash, type Hash } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Disk, DiskPath } from '../../shared/io/disk.ts';
import type { FolderQuota } from './agent-quota.ts';
import type { FreeSpace } from './free-space.ts';
import { removeFile, yieldToOthers } from './journal.ts';

const readBytesMax = 4 * 1024 * 1024;
const partialSuffix = '.part';

/** A file that arrives in pieces, in order, and survives restarts; nothing of it counts before `finish`. */
export type PartialContent = {
  /** Bytes so far. */
  readonly size: number;
  read(offset: number, length: number): Buffer;
  /** @throws CodedError STORE_FULL, QUOTA_REACHED, DISK_FAILED */
  write(offset: number, bytes: Uint8Array): void;
  /** Verifies all of it; then it is staged. @throws CodedError CONTENT_MISMATCH: it was discarded. */
  finish(): Promise<void>;
  /** Ends the use and keeps what has arrived for the next attempt. */
  close(): void;
  /** Ends the use and removes what has arrived. */
  discard(): void;
};

type Deps = {
  disk: Disk;
  quota: FolderQuota;
  freeSpace: FreeSpace;
  /** Takes over the whole, verified content at that place. */
  onWhole(hash: Buffer, place: DiskPath, size: number): void;
};

/** A file `<hash>.part` as it is on the disk, and how many use it now. */
type Partial = { size: number; users: number; begun: BegunHash | null };

/** The SHA-256 of the first `bytes` bytes, taken as they were written; null in a partial: they came otherwise. */
type BegunHash = { hash: Hash; bytes: number };

/**
 * The files `<hash>.part` in `incoming/`. All of their bytes count, also those of an earlier run; what nobody uses gives
 * way to anything else that needs the room.
 */
export class PartialContents {
  readonly #deps: Deps;
  readonly #directory: DiskPath;
  /** By hash, the one used last at the end. */
  readonly #partials: Map<string, Partial>;
  #bytes: number;

  constructor(deps: Deps, { directory }: { directory: DiskPath }) {
    this.#deps = deps;
    this.#directory = directory;
    this.#partials = partialsIn(deps.disk, directory);
    this.#bytes = this.#partials.values().reduce((sum, { size }) => sum + size, 0);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws CodedError STORE_FULL, QUOTA_REACHED (the rest has no room), DISK_FAILED */
  open(hash: Buffer, size: number): PartialContent {
    const { disk, quota, freeSpace } = this.#deps;
    const hex = hash.toString('hex');
    const place = this.#place(hex);
    const partial = this.#use(hex);
    let fd: number;
    try {
      if (partial.size > size && partial.users === 1) {
        this.#remove(hex);
        partial.begun = begunHash();
      }
      const rest = Math.max(0, size - partial.size);
      quota.assertRoom(rest);
      freeSpace.assertRoom(rest);
      fd = disk.open(place, disk.stat(place) === null ? 'create' : 'update');
    } catch (error) {
      this.#leave(hex, partial);
      throw error;
    }
    this.#partials.set(hex, partial);
    const close = (): void => {
      if (fd < 0) return;
      disk.close(fd);
      fd = -1;
      this.#leave(hex, partial);
    };
    const discard = (): void => {
      close();
      this.#remove(hex);
    };
    return {
      get size() {
        return partial.size;
      },
      read: (offset, wanted) => {
        const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(wanted, partial.size - offset)));
        return bytes.subarray(0, disk.read(fd, bytes, offset));
      },
      write: (offset, bytes) => {
        const end = offset + bytes.byteLength;
        if (end > size) {
          throw new CodedError('CONTENT_MISMATCH', `content reaches past its size of ${size} bytes`);
        }
        quota.assertRoom(Math.max(0, end - partial.size));
        freeSpace.take(bytes.byteLength);
        // until the write is done, nobody knows what is there
        if (offset < (partial.begun?.bytes ?? 0)) partial.begun = null;
        disk.write(fd, bytes, offset);
        if (offset === partial.begun?.bytes) {
          partial.begun.hash.update(bytes);
          partial.begun.bytes = end;
        }
        this.#resize(partial, Math.max(partial.size, end));
      },
      finish: async () => {
        const whole = partial.size === size && (await this.#hashOf(fd, partial)).equals(hash);
        if (!whole) {
          discard();
          throw new CodedError('CONTENT_MISMATCH', `content does not have the hash ${hash.toString('hex')}`);
        }
        close();
        this.#deps.onWhole(hash, place, size);
        this.#forget(hex);
      },
      close,
      discard,
    };
  }

  /** Removes what nobody uses, the longest unused first, until so many bytes are free. */
  giveUp(bytes: number): void {
    const target = this.#bytes - bytes;
    for (const [hex, { users }] of this.#partials) {
      if (this.#bytes <= target) return;
      if (users === 0) this.#remove(hex);
    }
  }

  /** Removes what nobody uses and nobody has written to for `partialDaysMax` days. */
  expire(nowMs: number, partialDaysMax: number): void {
    for (const [hex, { users }] of this.#partials) {
      if (users === 0 && ageDays(this.#deps.disk, this.#place(hex), nowMs) >= partialDaysMax)
        this.#remove(hex);
    }
  }

  /** The entry of a partial, in use from now on. */
  #use(hex: string): Partial {
    const partial = this.#partials.get(hex) ?? { size: 0, users: 0, begun: begunHash() };
    partial.users += 1;
    this.#partials.delete(hex);
    this.#partials.set(hex, partial);
    return partial;
  }

  /** An empty file is not worth keeping: it would cost nothing of the quota. */
  #leave(hex: string, partial: Partial): void {
    partial.users -= 1;
    if (partial.size === 0 && partial.users === 0) this.#remove(hex);
  }

  #remove(hex: string): void {
    removeFile(this.#deps.disk, this.#place(hex));
    this.#forget(hex);
  }

  #forget(hex: string): void {
    const partial = this.#partials.get(hex);
    if (partial === undefined) return;
    this.#resize(partial, 0);
    this.#partials.delete(hex);
  }

  #resize(partial: Partial, size: number): void {
    this.#bytes += size - partial.size;
    partial.size = size;
  }

  /** Reads what was not hashed as it was written: nothing, where all came in one go and in order. */
  async #hashOf(fd: number, partial: Partial): Promise<Buffer> {
    const { size } = partial;
    const { hash, bytes } = partial.begun ?? begunHash();
    partial.begun = null;
    const chunk = Buffer.allocUnsafeSlow(Math.min(readBytesMax, size - bytes));
    for (let offset = bytes; offset < size;) {
      const got = this.#deps.disk.read(fd, chunk, offset);
      if (got === 0) break;
      hash.update(chunk.subarray(0, got));
      offset += got;
      await yieldToOthers();
    }
    return hash.digest();
  }

  #place(hex: string): DiskPath {
    return `${this.#directory}/${hex}${partialSuffix}`;
  }
}

/** Removes what an earlier run left in `incoming/`; partial content stays for `partialDaysMax` days. */
export function cleanIncoming(disk: Disk, directory: DiskPath, nowMs: number, partialDaysMax: number): void {
  for (const name of disk.list(directory)) {
    const place = `${directory}/${name}`;
    if (name.endsWith(partialSuffix) && ageDays(disk, place, nowMs) < partialDaysMax) continue;
    const stat = disk.stat(place);
    if (stat !== null && stat.kind !== 'directory') disk.unlink(place);
  }
}

/** Oldest first. */
function partialsIn(disk: Disk, directory: DiskPath): Map<string, Partial> {
  const found = disk.list(directory).flatMap((name) => {
    const stat = name.endsWith(partialSuffix) ? disk.stat(`${directory}/${name}`) : null;
    return stat?.kind === 'file' ? [{ hex: name.slice(0, -partialSuffix.length), stat }] : [];
  });
  const sorted = found.toSorted((a, b) => Number(a.stat.mtimeNs - b.stat.mtimeNs));
  return new Map(sorted.map(({ hex, stat }) => [hex, { size: stat.size, users: 0, begun: null }]));
}

function begunHash(): BegunHash {
  return { hash: createHash('sha256'), bytes: 0 };
}

function ageDays(disk: Disk, place: DiskPath, nowMs: number): number {
  return (nowMs - Number((disk.stat(place)?.mtimeNs ?? 0n) / 1_000_000n)) / 86_400_000;
}
