/** `length` bytes from `offset` on in the chunks of a pack (offsets count plaintext). `Pack` is whatever names a pack. */
export type Extent<Pack> = { pack: Pack; offset: number; length: number };

/**
 * Appends `next` to the list, or makes the last extent longer where `next` goes on exactly behind it in the same pack,
 * so that a list grows with fragmentation and not with size. Packs are compared by `===`.
 */
export function appendExtent<Pack>(extents: Extent<Pack>[], next: Extent<Pack>): void {
  if (next.length === 0) return;
  const last = extents.at(-1);
  if (last !== undefined && last.pack === next.pack && last.offset + last.length === next.offset) {
    last.length += next.length;
  } else {
    extents.push({ pack: next.pack, offset: next.offset, length: next.length });
  }
}

/** How many bytes the extents cover together. */
export function extentsLength(extents: readonly Extent<unknown>[]): number {
  return extents.reduce((sum, extent) => sum + extent.length, 0);
}
