import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { ChunkListBuilder, longestChunks, type ChunkList } from '../../shared/chunking/chunk-list.ts';
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

/** A place of a content. `open`: null when it is not there, nothing is verified. `isSealed`: it shares nothing with any other. */
export type PlacedCopy = { open: () => HeldContent | null; isSealed: boolean };

type HeldContentDeps = {
  /** Where one agent's content is found by its hash. */
  copies(hash: Buffer): readonly PlacedCopy[];
};

/** Chunk lists that are remembered; more than a restore has large files on the way. */
const listsMax = 16;
/** One of the longest chunks. */
const pieceBytes = fileChunking.bytesMax;
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
        copies.firstGood(async (content, isSealed) => {
          const readAt = async (at: number, into: Buffer): Promise<boolean> =>
            content.read(at, into.length).copy(into) === into.length;
          const chunkMap = isLarge ? await this.#chunkMap(content, hash, isSealed) : null;
          return readVerified(readAt, { size, hash, chunkMap }, offset, room);
        }),
      chunkList: () =>
        copies.firstGood(
          async (content, isSealed) => (await this.#chunkMap(content, hash, isSealed))?.list ?? null,
        ),
      close: () => copies.close(),
    };
  }

  /** Null when the copy is not what the hash says. */
  #chunkMap(content: HeldContent, hash: Buffer, isSealed: boolean): Promise<ChunkMap | null> {
    const key = hash.toString('latin1');
    const known = this.#maps.get(key);
    this.#maps.delete(key);
    const map = known ?? cut(content, hash, isSealed);
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
  readonly #rest: Iterator<PlacedCopy>;
  #content: { held: HeldContent; isSealed: boolean } | null = null;

  constructor(copies: readonly PlacedCopy[]) {
    this.#rest = copies.values();
    this.#openNext();
  }

  /** Null when there is no copy. */
  get size(): number | null {
    return this.#content?.held.size ?? null;
  }

  /** What the first copy gives that does not give null or fail; or the reason of the last one. */
  async firstGood<T>(
    use: (content: HeldContent, isSealed: boolean) => Promise<T | null>,
  ): Promise<T | GoneReason> {
    for (let content = this.#content; content !== null; content = this.#content) {
      try {
        const result = await use(content.held, content.isSealed);
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
    this.#content?.held.close();
    this.#content = null;
  }

  #openNext(): void {
    this.close();
    for (let next = this.#rest.next(); next.done !== true; next = this.#rest.next()) {
      try {
        const { open, isSealed } = next.value;
        const held = open();
        if (held === null) continue;
        this.#content = { held, isSealed };
        return;
      } catch {
        this.reason = 'unreadable';
      }
    }
  }
}

/** What is sealed is cut at fixed places: by its content it costs three times as much and finds nothing. */
async function cut(content: HeldContent, hash: Buffer, isSealed: boolean): Promise<ChunkMap | null> {
  const builder = isSealed ? null : new ChunkListBuilder(fileChunking);
  const fixed: ChunkList = [];
  const hasher = createHash('sha256');
  for (let at = 0, pieces = 0; at < content.size; at += pieceBytes, pieces += 1) {
    const piece = content.read(at, pieceBytes);
    if (builder === null) fixed.push(...longestChunks(piece, fileChunking));
    else builder.update(piece);
    hasher.update(piece);
    if (pieces % piecesPerTurn === piecesPerTurn - 1) await turn();
  }
  return hasher.digest().equals(hash) ? new ChunkMap(builder?.finish() ?? fixed) : null;
}
