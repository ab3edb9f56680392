import { padmeLength } from './padme.ts';
import { sealedLimits } from './sealed-limits.ts';

/** For an RSA key of 8192 bits. */
const sessionKeyPacketBytesMax = 1100;
/** Packet headers, prefix and the check of integrity. */
const messageOverheadBytes = 100;

/** No pack or root message of so many bytes is sealed into more: for chunks that do not compress, and the most recipients. */
export function sealedBytesMax(plainBytes: number): number {
  const content = plainBytes + (plainBytes >> 8) + 1024;
  return padmeLength(content) + sealedLimits.recipientsMax * sessionKeyPacketBytesMax + messageOverheadBytes;
}
