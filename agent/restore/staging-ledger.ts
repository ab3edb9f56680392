import fs from 'node:fs';
import { crc32 } from 'node:zlib';
import { openTemporary, writeAll } from './temporary-file.ts';

const linePattern = /^(?<pack>[0-9a-f]{64}) (?<file>[0-9a-f]{32}) (?<parts>[0-9a-f]{8})$/;

/**
 * What an interrupted restore has written already: for each pack and file the checksum of the parts of the one that are
 * in the other's temporary content. It only says what is worth reading again: parts count as kept when they still have
 * that checksum, and the whole file's own hash decides in the end. So a line that is lost, torn or wrong costs time only,
 * and nothing has to be synced.
 */
export class StagingLedger {
  readonly #fd: number;
  readonly #file: Buffer;
  readonly #kept = new Map<string, string>();

  /** Continues the file, or begins it. */
  constructor(file: Buffer) {
    this.#file = file;
    this.#fd = openTemporary(file);
    const text = fs.readFileSync(this.#fd, 'latin1');
    for (const line of text.split('\n')) {
      const { pack, file: name, parts } = linePattern.exec(line)?.groups ?? {};
      if (pack !== undefined && parts !== undefined) this.#kept.set(`${pack} ${name}`, parts);
    }
    // A line that was torn ends here, so that the next one stands alone.
    if (text !== '' && !text.endsWith('\n')) writeAll(this.#fd, Buffer.from('\n'));
  }

  /** Whether an earlier run has written anything. */
  get isContinued(): boolean {
    return this.#kept.size > 0;
  }

  /** The checksum that the parts of the pack in that file had when they were written; null: they were not. `file`: 32 hexadecimal digits. */
  partsOf(pack: string, file: string): string | null {
    return this.#kept.get(`${pack} ${file}`) ?? null;
  }

  /** To be called when the parts are written. */
  add(lines: readonly { pack: string; file: string; parts: string }[]): void {
    writeAll(
      this.#fd,
      Buffer.from(lines.map(({ pack, file, parts }) => `${pack} ${file} ${parts}\n`).join('')),
    );
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  /** To be called before `close`, when nothing is left to be continued. */
  remove(): void {
    fs.rmSync(this.#file, { force: true });
  }
}

/** CRC-32 of parts, one after the other, hexadecimal. */
export function checksumParts(parts: Iterable<Uint8Array>): string {
  let sum = 0;
  for (const part of parts) sum = crc32(part, sum);
  return sum.toString(16).padStart(8, '0');
}
