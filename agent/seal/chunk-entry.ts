/** Where chunks lie in a pack: 16 bytes of id, 4 of offset, 4 of length (big-endian) each. */
export const chunkEntryBytes = 24;
const [idBytes, offsetAt, lengthAt] = [16, 16, 20];

/** `key`: the id as latin1 text. */
export function encodeChunkEntry(key: string, offset: number, length: number): Buffer {
  const entry = Buffer.allocUnsafe(chunkEntryBytes);
  entry.write(key, 0, 'latin1');
  entry.writeUInt32BE(offset, offsetAt);
  entry.writeUInt32BE(length, lengthAt);
  return entry;
}

/** The id of the entry that begins `at` there. */
export function chunkIdAt(entries: Buffer, at: number): Buffer {
  return entries.subarray(at, at + idBytes);
}

/** The same as latin1 text. */
export function chunkKeyAt(entries: Buffer, at: number): string {
  return entries.toString('latin1', at, at + idBytes);
}

export function chunkOffsetAt(entries: Buffer, at: number): number {
  return entries.readUInt32BE(at + offsetAt);
}

export function chunkLengthAt(entries: Buffer, at: number): number {
  return entries.readUInt32BE(at + lengthAt);
}
