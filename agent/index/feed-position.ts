/** A place in a folder's index: everything up to `sequence` of the index `indexId` (8 bytes); `token` (32 bytes) proves which history that was. */
export type FeedPosition = { indexId: Buffer; sequence: number; token: Buffer };
