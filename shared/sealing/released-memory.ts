/**
 * Gives the memory behind the bytes back at once, where it is large and theirs alone; nobody may use them any more. V8
 * learns late of megabytes that are garbage, and looks through its whole heap for them.
 */
export function releaseMemory({ buffer }: Uint8Array): void {
  // small ones share a pool
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}
