/** A checkpoint of a folder's index: everything up to `sequence` of `indexId` (8 bytes); `token` (32 bytes) tells which history that was. */
export type FeedPosition = { indexId: Buffer; sequence: number; token: Buffer };

/** The token of sequence 0, where there is no history yet. */
export const emptyToken: Buffer = Buffer.alloc(32);
