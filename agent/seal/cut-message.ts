import type { FilledPack, FillerStats, FlatExtents } from './pack-filler.ts';

/** What the cutting thread begins with. */
export type CutWorkerData = {
  databaseFile: string;
  secret: Uint8Array;
  /** A name of seal-chunking.ts. */
  chunking: string;
  known: number[];
  forgotten: number[];
  firstPack: number;
  packBytesMax: number;
};

/** To the cutting thread, answered in order. */
export type CutRequest =
  /** More of the file: the first `length` bytes of the buffer, which is given back. */
  | { type: 'bytes'; buffer: ArrayBuffer; length: number }
  | { type: 'endFile' }
  /** Gives the open pack away. */
  | { type: 'flush' }
  /**
   * The pack is in the database; its content's buffer comes back to be filled again. `findable`: so are the chunks of this
   * one and all before it.
   */
  | { type: 'committed'; pack: number; findable: boolean; buffer: ArrayBuffer };

export type CutEvent =
  | { type: 'taken'; buffer: ArrayBuffer }
  /** Of the file that is being cut, in order, all of them before its `file`. */
  | { type: 'extents'; extents: FlatExtents }
  | { type: 'file'; size: number; hash: Uint8Array }
  | ({ type: 'pack' } & FilledPack)
  | { type: 'flushed'; stats: FillerStats }
  | { type: 'failed'; message: string };
