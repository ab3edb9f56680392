import { ChunkListBuilder } from '../chunking/chunk-list.ts';
import { fileChunking } from '../chunking/chunking-parameters.ts';

/** A content on this side that may share chunks with a wanted one. */
export type ChunkBasis = {
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array> | Uint8Array;
};

export type ChunkLocation = { basis: Pick<ChunkBasis, 'read'>; offset: number; length: number };

/** Chunks whose place is remembered, about 100 bytes each: covers 64 GiB of bases. */
const locationsMax = 256 * 1024;
const pieceBytes = 1024 * 1024;

/** Where chunks can be read on this side, by their hash (as latin1 text). */
export class ChunkLocations {
  private readonly locations = new Map<string, ChunkLocation>();

  /** Cuts a basis and remembers its chunks, up to where it can be read. What is found must be verified: it is read again later. */
  async addBasis(basis: ChunkBasis): Promise<void> {
    const builder = new ChunkListBuilder(fileChunking);
    const bytesMax = Math.min(basis.size, (locationsMax - this.locations.size) * fileChunking.bytesMin);
    for (let at = 0; at < bytesMax; at += pieceBytes) {
      const length = Math.min(pieceBytes, bytesMax - at);
      const piece = await readBasis({ basis, offset: at }, length);
      if (piece === null) break;
      builder.update(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    let offset = 0;
    for (const { length, hash } of builder.finish()) {
      this.add(hash.toString('latin1'), { basis, offset, length });
      offset += length;
    }
  }

  add(key: string, location: ChunkLocation): void {
    if (this.locations.size < locationsMax && !this.locations.has(key)) this.locations.set(key, location);
  }

  find(hash: Buffer): ChunkLocation | null {
    return this.locations.get(hash.toString('latin1')) ?? null;
  }
}

/** The bytes, or null where the basis cannot be read (then the chunk comes over the link, which heals what is damaged here). */
export async function readBasis(
  { basis, offset }: Pick<ChunkLocation, 'basis' | 'offset'>,
  length: number,
): Promise<Uint8Array | null> {
  try {
    const bytes = await basis.read(offset, length);
    return bytes.length === length ? bytes : null;
  } catch {
    return null;
  }
}
