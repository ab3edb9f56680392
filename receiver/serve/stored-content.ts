import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { ChunkListBuilder } from '../../shared/chunking/chunk-list.ts';
import { fileChunking } from '../../shared/chunking/chunking-parameters.ts';
import type { GoneReason } from '../../shared/protocol/gone.ts';
import { limits } from '../../shared/protocol/limits.ts';
import { ChunkMap } from '../../shared/transfer/chunk-map.ts';
import type { ContentSource, OpenContent } from '../../shared/transfer/content-source.ts';
import { readVerified } from '../../shared/transfer/verified-read.ts';
import type { ReadableContent } from '../store/readable-content.ts';

const readAtOnceBytes = 1024 * 1024;
const chunkMapsKept = 8;

/**
 * Gives away what is stored of one agent, by hash alone: whatever folder and path a restore names, the bytes are those
 * of that agent, and every one is verified. `openHeld` finds content among that agent's folders and no other's.
 */
export class StoredContent implements ContentSource {
  readonly #openHeld: (hash: Buffer) => ReadableContent | null;
  readonly #chunkMaps = new Map<string, ChunkMap>();

  constructor(deps: { openHeld: (hash: Buffer) => ReadableContent | null }) {
    this.#openHeld = deps.openHeld;
  }

  async open(_folder: string, _path: string, hash: Buffer): Promise<OpenContent | GoneReason> {
    const content = this.#openHeld(hash);
    if (content === null) return 'vanished';
    try {
      const chunkMap = content.size > limits.wholeFileBytesMax ? await this.#chunkMap(hash, content) : null;
      if (content.size > limits.wholeFileBytesMax && chunkMap === null) {
        content.close();
        return 'changed';
      }
      const described = { size: content.size, hash, chunkMap };
      return {
        size: content.size,
        read: async (offset, lengthMax) =>
          (await readVerified(readAtOf(content), described, offset, lengthMax)) ?? 'changed',
        chunkList: async () => chunkMap?.list ?? 'changed',
        close: () => content.close(),
      };
    } catch (error) {
      content.close();
      throw error;
    }
  }

  /** Null where the bytes do not have that hash. */
  async #chunkMap(hash: Buffer, content: ReadableContent): Promise<ChunkMap | null> {
    const key = hash.toString('latin1');
    const map = this.#chunkMaps.get(key) ?? (await cutContent(hash, content));
    if (map === null || map.size !== content.size) return null;
    this.#chunkMaps.delete(key);
    this.#chunkMaps.set(key, map);
    for (const oldest of this.#chunkMaps.keys()) {
      if (this.#chunkMaps.size <= chunkMapsKept) break;
      this.#chunkMaps.delete(oldest);
    }
    return map;
  }
}

async function cutContent(hash: Buffer, content: ReadableContent): Promise<ChunkMap | null> {
  const builder = new ChunkListBuilder(fileChunking);
  const whole = createHash('sha256');
  for (let offset = 0; offset < content.size;) {
    const bytes = content.read(offset, readAtOnceBytes);
    if (bytes.length === 0) return null;
    builder.update(bytes);
    whole.update(bytes);
    offset += bytes.length;
    // Reading and hashing is done in this thread: let others go on in between.
    await setImmediate();
  }
  return whole.digest().equals(hash) ? new ChunkMap(builder.finish()) : null;
}

function readAtOf(content: ReadableContent) {
  return async (offset: number, length: number): Promise<Buffer | null> => {
    const bytes = content.read(offset, length);
    return bytes.length === length ? bytes : null;
  };
}
