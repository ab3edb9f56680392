import type { FeedPosition } from '../../shared/records/feed-position.ts';

/** A byte offset in a journal segment up to which the index holds everything; `checksum`: of the line that ends there. */
export type JournalMark = { segment: number; offset: number; checksum: string };

/** What an index says of itself. */
export type IndexMeta = {
  mark: JournalMark;
  position: FeedPosition | null;
  /** The index that has named every live path, if one has. */
  completeIndexId: Buffer | null;
  lastBatch: number;
  lastBatchAt: number;
  nextVersionId: number;
  /** Lines of the journal were lost, and no index was complete since. */
  doubtful: boolean;
};

type StoredMeta = Omit<IndexMeta, 'position' | 'completeIndexId'> & {
  position: { indexId: string; sequence: number; token: string } | null;
  completeIndexId: string | null;
};

/** As it is stored in the index. */
export function formatIndexMeta({ position, completeIndexId, ...rest }: IndexMeta): string {
  const stored: StoredMeta = {
    ...rest,
    position:
      position === null
        ? null
        : {
            indexId: position.indexId.toString('hex'),
            sequence: position.sequence,
            token: position.token.toString('hex'),
          },
    completeIndexId: completeIndexId?.toString('hex') ?? null,
  };
  return JSON.stringify(stored);
}

/** What `formatIndexMeta` gave. */
export function parseIndexMeta(text: string): IndexMeta {
  const meta = JSON.parse(text) as StoredMeta;
  const { position, completeIndexId } = meta;
  return {
    ...meta,
    position:
      position === null
        ? null
        : {
            indexId: Buffer.from(position.indexId, 'hex'),
            sequence: position.sequence,
            token: Buffer.from(position.token, 'hex'),
          },
    completeIndexId: completeIndexId === null ? null : Buffer.from(completeIndexId, 'hex'),
  };
}
