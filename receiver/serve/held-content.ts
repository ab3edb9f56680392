import { setImmediate as turn } from 'node:timers/promises';
import { type ChunkList, ChunkListBuilder } from '../../shared/chunking/chunk-list.ts';
import { fileChunking } from '../../shared/chunking/chunking-parameters.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { GoneReason } from '../../shared/protocol/gone.ts';
import { ChunkMap } from '../../shared/transfer/chunk-map.ts';
import type { ContentSource, OpenContent } from '../../shared/transfer/content-source.ts';
import { readVerified } from '../../shared/transfer/verified-read.ts';

/** Content of a stored file, open for reading. */
export type HeldContent = {
  readonly size: number;
  read(offset: number, length: number): Buffer;
  close(): void;
};

/** Where one agent's content is found by its hash; what is found is not verified. */
export type HeldContentDeps = { openHeld(hash: Buffer): HeldContent | null };

/** Chunk lists that are remembered; more than a restore has large files on the way. */
const listsMax = 16;
const pieceBytes = 1024 * 1024;
/** How much is read and cut before other work gets a turn. */
const piecesPerTurn = 4;

/**
 * Gives away what the stores of one agent hold, by hash: the path in a request names nothing here. Every byte is
 * verified before it goes out; a damaged copy is told as `changed`.
 */
export class HeldContentSource implements ContentSource {
  readonly #deps: HeldContentDeps;
  readonly #maps = new Map<string, Promise<ChunkMap>>();

  constructor(deps: HeldContentDeps) {
    this.#deps = deps;
  }

  async open(_folder: string, _path: string, hash: Buffer): Promise<OpenContent | GoneReason> {
    const content = unlessUnreadable(() => this.#deps.openHeld(hash));
    if (content === 'unreadable') return content;
    if (content === null) return 'vanished';
    const readAt = async (offset: number, length: number): Promise<Buffer | null> => {
      const bytes = content.read(offset, length);
      return bytes.length === length ? bytes : null;
    };
    return {
      size: content.size,
      read: async (offset, lengthMax) => {
        try {
          const chunkMap =
            content.size > limits.wholeFileBytesMax ? await this.#chunkMap(content, hash) : null;
          return (
            (await readVerified(readAt, { size: content.size, hash, chunkMap }, offset, lengthMax)) ??
            'changed'
          );
        } catch {
          return 'unreadable';
        }
      },
      chunkList: async () => {
        try {
          return (await this.#chunkMap(content, hash)).list;
        } catch {
          return 'unreadable';
        }
      },
      close: () => content.close(),
    };
  }

  #chunkMap(content: HeldContent, hash: Buffer): Promise<ChunkMap> {
    const key = hash.toString('latin1');
    const known = this.#maps.get(key);
    this.#maps.delete(key);
    const map = known ?? cut(content).then((list) => new ChunkMap(list));
    this.#maps.set(key, map);
    map.catch(() => this.#maps.delete(key));
    for (const oldest of this.#maps.keys()) {
      if (this.#maps.size <= listsMax) break;
      this.#maps.delete(oldest);
    }
    return map;
  }
}

async function cut(content: HeldContent): Promise<ChunkList> {
  const builder = new ChunkListBuilder(fileChunking);
  for (let at = 0, pieces = 0; at < content.size; at += pieceBytes, pieces += 1) {
    builder.update(content.read(at, pieceBytes));
    if (pieces % piecesPerTurn === piecesPerTurn - 1) await turn();
  }
  return builder.finish();
}

function unlessUnreadable<T>(read: () => T): T | 'unreadable' {
  try {
    return read();
  } catch {
    return 'unreadable';
  }
}
