import type { ChunkList } from '../chunking/chunk-list.ts';
import type { GoneReason } from '../protocol/gone.ts';
import type { RelativePath } from '../records/relative-path.ts';

/** One content that was asked for, open for reading. */
export type OpenContent = {
  /** Bytes of the whole content, as announced. */
  readonly size: number;
  /**
   * Writes what is at `offset` to the beginning of `room` and gives how many bytes that is, 1 at least, verified to belong to
   * the content that was asked for; or why they cannot be given. Where it is not 'unreadable' for a moment only, the source
   * has already noted durably what it has to. Called with `offset < size`; a source may read more than it gives in order to verify.
   */
  read(offset: number, room: Buffer): Promise<number | GoneReason>;
  /** The chunk list by `fileChunking`; asked for contents above `wholeFileBytesMax` only. */
  chunkList(): Promise<ChunkList | GoneReason>;
  close(): void;
};

/** Where the content comes from that a ContentServer gives away. It decides what the other side may read. */
export type ContentSource = {
  /** Opens the content `hash` that was announced (or listed) at `path`; a reason when there is no such content to be given. */
  open(folder: string, path: RelativePath, hash: Buffer): Promise<OpenContent | GoneReason>;
};
