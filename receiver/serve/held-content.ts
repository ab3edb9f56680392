import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { ChunkListBuilder } from '../../shared/chunking/chunk-list.ts';
import { fileChunking } from '../../shared/chunking/chunking-parameters.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { GoneReason } from '../../shared/protocol/gone.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { ChunkMap } from '../../shared/transfer/chunk-map.ts';
import type { ContentSource, OpenContent } from '../../shared/transfer/content-source.ts';
import { readVerified } from '../../shared/transfer/verified-read.ts';

/** One stored copy of a content, open for reading. */
type HeldContent = {
  readonly size: number;
  read(offset: number, length: number): Buffer;
  close(): void;
};

export type HeldContentDeps = {
  /** Where one agent's content is found by its hash, each to be opened (null: it is not there); nothing is verified. */
  copies(hash: Buffer): readonly (() => HeldContent | null)[];
};

/** Chunk lists that are remembered; more than a restore has large files on the way. */
const listsMax = 16;
const pieceBytes = 1024 * 1024;
/** How much is read and cut before other work gets a turn. */
const piecesPerTurn = 4;

/**
 * Gives away what the stores of one agent hold, by hash: the path in a request names nothing here. Every byte is
 * verified before it goes out; a copy that is damaged or cannot be read makes way for the next one, and only when there
 * is no other the content counts as `changed` or `unreadable`.
 */
export class HeldContentSource implements ContentSource {
  readonly #deps: HeldContentDeps;
  readonly #maps = new Map<string, Promise<ChunkMap | null>>();

  constructor(deps: HeldContentDeps) {
    this.#deps = deps;
  }

  async open(_folder: string, _path: RelativePath, hash: Buffer): Promise<OpenContent | GoneReason> {
    const copies = new OpenCopies(this.#deps.copies(hash));
    const { size } = copies;
    if (size === null) return copies.reason;
    const isLarge = size > limits.wholeFileBytesMax;
    return {
      size,
      read: (offset, room) =>
        copies.firstGood(async (content) => {
          const readAt = async (at: number, into: Buffer): Promise<boolean> =>
            content.read(at, into.length).copy(into) === into.length;
          const chunkMap = isLarge ? await this.#chunkMap(content, hash) : null;
          return readVerified(readAt, { size, hash, chunkMap }, offset, room);
        }),
      chunkList: () =>
        copies.firstGood(async (content) => (await this.#chunkMap(content, hash))?.list ?? null),
      close: () => copies.close(),
    };
  }

  /** Null when the copy is not what the hash says. */
  #chunkMap(content: HeldContent, hash: Buffer): Promise<ChunkMap | null> {
    const key = hash.toString('latin1');
    const known = this.#maps.get(key);
    this.#maps.delete(key);
    const map = known ?? cut(content, hash);
    this.#maps.set(key, map);
    const forget = (): void => {
      if (this.#maps.get(key) === map) this.#maps.delete(key);
    };
    map.then((made) => made ?? forget(), forget);
    for (const oldest of this.#maps.keys()) {
      if (this.#maps.size <= listsMax) break;
      this.#maps.delete(oldest);
    }
    return map;
  }
}

/** The copies of one content, of which one at a time is open. */
class OpenCopies {
  /** Why nothing can be given, once there is no copy left. */
  reason: GoneReason = 'vanished';
  readonly #rest: Iterator<() => HeldContent | null>;
  #content: HeldContent | null = null;

  constructor(copies: readonly (() => HeldContent | null)[]) {
    this.#rest = copies.values();
    this.#openNext();
  }

  /** Null when there is no copy. */
  get size(): number | null {
    return this.#content?.size ?? null;
  }

  /** What the first copy gives that does not give null or fail; or the reason of the last one. */
  async firstGood<T>(use: (content: HeldContent) => Promise<T | null>): Promise<T | GoneReason> {
    for (let content = this.#content; content !== null; content = this.#content) {
      try {
        const result = await use(content);
        if (result !== null) return result;
        this.reason = 'changed';
      } catch {
        this.reason = 'unreadable';
      }
      this.#openNext();
    }
    return this.reason;
  }

  close(): void {
    this.#content?.close();
    this.#content = null;
  }

  #openNext(): void {
    this.close();
    for (let next = this.#rest.next(); next.done !== true; next = this.#rest.next()) {
      try {
        this.#content = next.value();
        if (this.#content !== null) return;
      } catch {
        this.reason = 'unreadable';
      }
    }
  }
}

async function cut(content: HeldContent, hash: Buffer): Promise<ChunkMap | null> {
  const builder = new ChunkListBuilder(fileChunking);
  const hasher = createHash('sha256');
  for (let at = 0, pieces = 0; at < content.size; at += pieceBytes, pieces += 1) {
    const piece = content.read(at, pieceBytes);
    builder.update(piece);
    hasher.update(piece);
    if (pieces % piecesPerTurn === piecesPerTurn - 1) await turn();
  }
  return hasher.digest().equals(hash) ? new ChunkMap(builder.finish()) : null;
}
