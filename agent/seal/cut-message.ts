import type { CutFile, FilledPack, FillerStats } from './pack-filler.ts';

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
  | { type: 'bytes'; bytes: Uint8Array }
  | { type: 'endFile' }
  /** Gives the open pack away. */
  | { type: 'flush' }
  | { type: 'committed'; pack: number };

export type CutEvent =
  | { type: 'taken'; bytes: number }
  | ({ type: 'file' } & Omit<CutFile, 'hash'> & { hash: Uint8Array })
  | ({ type: 'pack' } & FilledPack)
  | { type: 'flushed'; stats: FillerStats }
  | { type: 'failed'; message: string };
