/** Where chunks lie in a pack: 16 bytes of id, 4 of offset, 4 of length (big-endian) each. */
export const chunkEntryBytes = 24;
