import { crc32 } from 'node:zlib';

const newline = Buffer.from('\n');

/** One line of a journal: the CRC-32 of the JSON in 8 hex digits, a space, the JSON, a newline. */
export function encodeCheckedLine(value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value), 'utf8');
  return Buffer.concat([Buffer.from(`${checksum(json)} `), json, newline]);
}

/** True when the line (without its newline) is what was written. */
export function isIntactLine(line: Buffer): boolean {
  return line.length > 9 && line[8] === 0x20 && line.toString('latin1', 0, 8) === checksum(line.subarray(9));
}

/** The value of an intact line (without its newline). */
export function parseCheckedLine(line: Buffer): unknown {
  return JSON.parse(line.toString('utf8', 9)) as unknown;
}

function checksum(bytes: Buffer): string {
  return crc32(bytes).toString(16).padStart(8, '0');
}
