import fs from 'node:fs';
import { promisify } from 'node:util';
import type { ChunkList } from '../../shared/chunking/chunk-list.ts';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { GoneReason } from '../../shared/protocol/gone.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { ChunkMap } from '../../shared/transfer/chunk-map.ts';
import type { ContentSource, OpenContent } from '../../shared/transfer/content-source.ts';
import { readVerified } from '../../shared/transfer/verified-read.ts';
import type { ServedFeed, ServedFolders } from './served-feed.ts';

const readFile = promisify(fs.read);
/** Up to here a synchronous read costs less than a turn through the thread pool. */
const synchronousBytesMax = 128 * 1024;
const chunkMapsKept = 8;

/**
 * Gives away what the folders announce and nothing else: a path is opened only while its record is that of a live file with the
 * hash asked for, and every byte is verified against that hash. A source file that is not what was announced is marked to be
 * read again, durably, before the answer is that it is gone: so a later record tells what became of it.
 */
export class FolderContent implements ContentSource {
  private readonly folders: ServedFolders;
  private readonly chunkMaps = new Map<string, ChunkMap>();

  constructor(folders: ServedFolders) {
    this.folders = folders;
  }

  /** @throws CodedError FOLDER_UNKNOWN */
  async open(folder: string, path: RelativePath, hash: Buffer): Promise<OpenContent | GoneReason> {
    const feed = this.folders.list().find(({ folderId }) => folderId === folder);
    if (feed === undefined) throw new CodedError('FOLDER_UNKNOWN', `folder "${folder}" is not offered`);
    const state = feed.recordAt(path)?.state;
    // another record is announced by now, or there never was one: the feed says all that there is to say
    if (state === undefined || state.kind === 'deleted') return 'vanished';
    if (state.kind !== 'file' || !state.hash.equals(hash)) return 'changed';
    return this.openAnnounced(feed, path, state);
  }

  private async openAnnounced(
    feed: ServedFeed,
    path: RelativePath,
    state: FileState,
  ): Promise<OpenContent | GoneReason> {
    const gone = async (reason: GoneReason): Promise<GoneReason> => {
      await feed.markDirty(path);
      return reason;
    };
    const chunkMap = state.size > limits.wholeFileBytesMax ? await this.chunkMap(feed, state) : null;
    if (state.size > limits.wholeFileBytesMax && chunkMap === null) return gone('changed');
    let source: ReturnType<ServedFeed['openSource']>;
    try {
      source = feed.openSource(path);
    } catch (error) {
      if (!isCoded(error, 'SOURCE_UNREADABLE')) throw error;
      return gone('unreadable');
    }
    if (source === null) return gone('vanished');
    if (source.size !== state.size) {
      source.close();
      return gone('changed');
    }
    const { fd } = source;
    return {
      size: state.size,
      async read(offset, room) {
        try {
          const readAt = (at: number, into: Buffer) => readExactly(fd, at, into);
          const bytes = await readVerified(readAt, { ...state, chunkMap }, offset, room);
          return bytes ?? (await gone('changed'));
        } catch (error) {
          if (isCoded(error) || !(error instanceof Error && 'errno' in error)) throw error;
          return gone('unreadable');
        }
      },
      chunkList: async (): Promise<ChunkList | GoneReason> => chunkMap?.list ?? 'changed',
      close: () => source.close(),
    };
  }

  private async chunkMap(feed: ServedFeed, state: FileState): Promise<ChunkMap | null> {
    const key = state.hash.toString('latin1');
    let map = this.chunkMaps.get(key);
    if (map === undefined) {
      const list = await feed.chunkList(state.hash);
      if (list === null) return null;
      map = new ChunkMap(list);
    }
    this.chunkMaps.delete(key);
    this.chunkMaps.set(key, map);
    for (const oldest of this.chunkMaps.keys()) {
      if (this.chunkMaps.size <= chunkMapsKept) break;
      this.chunkMaps.delete(oldest);
    }
    return map.size === state.size ? map : null;
  }
}

async function readExactly(fd: number, offset: number, into: Buffer): Promise<boolean> {
  const { length } = into;
  let got = 0;
  while (got < length) {
    const count =
      length <= synchronousBytesMax
        ? fs.readSync(fd, into, got, length - got, offset + got)
        : (await readFile(fd, into, got, length - got, offset + got)).bytesRead;
    if (count === 0) return false;
    got += count;
  }
  return true;
}
