import { CodedError } from '../../shared/errors/coded-error.ts';

/** Block types of a custom-format archive. */
const blockData = 1;
const blockLargeObjects = 3;
/** Flag of a table-of-contents entry's offset: the entry has no data block. */
const offsetNoData = 3;
const newestMinorVersion = 16;
const oldestMinorVersion = 12;
const firstBytesKept = 300;

/**
 * Follows the framing of what `pg_dump -Fc` prints, without keeping or changing it: header, table of contents, then a
 * data block for each entry that has one, each a row of lengths and bytes up to a length of zero. A custom archive has
 * no end mark: it is complete when each entry that says it has data got its block and the last block is closed.
 * Push every piece in order, then call `finish`. Archive versions 1.12 to 1.16, which PostgreSQL 10 to 18 write.
 * Memory: the names of the entries that have data.
 * @see https://www.postgresql.org/docs/current/app-pgdump.html (custom format)
 */
export class CustomArchiveWalker {
  #piece: Buffer = Buffer.alloc(0);
  #at = 0;
  #bytesBefore = 0;
  #ended = false;
  #first = Buffer.alloc(0);
  #place = 'its header';
  readonly #awaited = new Map<number, string>();
  readonly #walk: Generator<void, void, void>;

  constructor() {
    this.#walk = this.#walkArchive();
    this.#walk.next();
  }

  /** Bytes pushed so far. */
  get bytes(): number {
    return this.#bytesBefore + this.#piece.length;
  }

  /** True when all that was pushed is a whole archive, nothing less and nothing more. */
  get complete(): boolean {
    return this.#ended && this.#at === this.#piece.length;
  }

  /** @throws CodedError SOURCE_FAILED as soon as the bytes cannot be an archive */
  push(piece: Buffer): void {
    this.#bytesBefore += this.#piece.length;
    this.#piece = piece;
    this.#at = 0;
    if (this.#first.length < firstBytesKept) {
      this.#first = Buffer.concat([this.#first, piece.subarray(0, firstBytesKept - this.#first.length)]);
    }
    if (piece.length === 0) return;
    if (!this.#ended) this.#walk.next();
    if (this.#ended && this.#at < piece.length) {
      throw this.#malformed('it goes on after its last data block');
    }
  }

  /** Call after the last piece. @throws CodedError SOURCE_FAILED when the archive is not complete */
  finish(): void {
    if (this.complete) return;
    if (this.bytes === 0) throw new CodedError('SOURCE_FAILED', 'pg_dump printed nothing');
    if (!this.#first.subarray(0, 5).equals(Buffer.from('PGDMP').subarray(0, this.#first.length))) {
      throw this.#malformed('it does not begin with PGDMP');
    }
    throw new CodedError(
      'SOURCE_FAILED',
      `the archive is cut off after ${this.bytes} bytes, in ${this.#place}`,
      {
        hint: 'pg_dump or the program that it runs through ended too early; nothing of it is kept',
        context: { bytes: this.bytes, missingDataBlocks: this.#awaited.size },
      },
    );
  }

  *#walkArchive(): Generator<void, void, void> {
    // The first step runs in the constructor, up to here: no piece has come yet.
    yield;
    const minorVersion = yield* this.#readHeader();
    yield* this.#readContents(minorVersion);
    while (this.#awaited.size > 0) {
      this.#place = `front of the data of ${this.#someAwaited()}`;
      const type = yield* this.#readByte();
      if (type !== blockData && type !== blockLargeObjects)
        throw this.#malformed(`block type ${type} is unknown`);
      const id = yield* this.#readInt();
      const name = this.#awaited.get(id);
      if (name === undefined) throw this.#malformed(`a data block has the unexpected number ${id}`);
      this.#place = `the data of ${name}`;
      if (type === blockData) yield* this.#skipChunks();
      else while ((yield* this.#readInt()) !== 0) yield* this.#skipChunks();
      this.#awaited.delete(id);
    }
    this.#ended = true;
  }

  /** Gives the minor version: what the table of contents looks like depends on it. */
  *#readHeader(): Generator<void, number, void> {
    for (const expected of Buffer.from('PGDMP')) {
      if ((yield* this.#readByte()) !== expected) throw this.#malformed('it does not begin with PGDMP');
    }
    const major = yield* this.#readByte();
    const minor = yield* this.#readByte();
    yield* this.#readByte();
    if (major !== 1 || minor < oldestMinorVersion || minor > newestMinorVersion) {
      throw new CodedError(
        'SOURCE_FAILED',
        `archive version ${major}.${minor} is not known to this mastokeep`,
        {
          hint: 'update mastokeep, or use a pg_dump of PostgreSQL 18 or older',
        },
      );
    }
    const intBytes = yield* this.#readByte();
    const offsetBytes = yield* this.#readByte();
    const format = yield* this.#readByte();
    if (intBytes !== 4 || offsetBytes !== 8 || format !== 1) {
      throw this.#malformed(`its header says int ${intBytes}, offset ${offsetBytes}, format ${format}`);
    }
    // Compression: one byte naming the algorithm since 1.15, a level before.
    if (minor >= 15) yield* this.#readByte();
    else yield* this.#readInt();
    for (let timeField = 0; timeField < 7; timeField++) yield* this.#readInt();
    for (let text = 0; text < 3; text++) yield* this.#readText(false);
    return minor;
  }

  *#readContents(minorVersion: number): Generator<void, void, void> {
    this.#place = 'its table of contents';
    const entries = yield* this.#readInt();
    if (entries < 0) throw this.#malformed(`its table of contents has ${entries} entries`);
    for (let entry = 0; entry < entries; entry++) {
      const id = yield* this.#readInt();
      yield* this.#readInt(); // whether it had a dumper: the offset's flag says the same
      yield* this.#readText(false); // OID of its catalogue
      yield* this.#readText(false); // OID
      const tag = yield* this.#readText(true);
      yield* this.#readText(false); // description
      yield* this.#readInt(); // section
      for (let text = 0; text < 5; text++) yield* this.#readText(false); // definition, drop, copy, namespace, tablespace
      if (minorVersion >= 14) yield* this.#readText(false); // table access method
      if (minorVersion >= 16) yield* this.#readInt(); // kind of relation
      yield* this.#readText(false); // owner
      yield* this.#readText(false); // with OIDs
      while ((yield* this.#readText(false)) !== null) {
        // dependencies, up to one that is null
      }
      const flag = yield* this.#readByte();
      for (let byte = 0; byte < 8; byte++) yield* this.#readByte();
      if (flag < 1 || flag > offsetNoData) throw this.#malformed(`entry ${id} has the offset flag ${flag}`);
      if (flag !== offsetNoData) this.#awaited.set(id, tag ?? '');
    }
  }

  /** The hot loop: `pg_dump -Z0` writes a length before every row. */
  *#skipChunks(): Generator<void, void, void> {
    for (;;) {
      let length: number;
      const piece = this.#piece;
      const at = this.#at;
      if (at + 5 <= piece.length) {
        if (piece[at] !== 0) throw this.#malformed('a length in its data is not a number');
        length =
          (piece[at + 1] as number) |
          ((piece[at + 2] as number) << 8) |
          ((piece[at + 3] as number) << 16) |
          ((piece[at + 4] as number) << 24);
        this.#at = at + 5;
      } else {
        length = yield* this.#readInt();
      }
      if (length === 0) return;
      if (length < 0) throw this.#malformed('a length in its data is negative');
      if (this.#at + length <= this.#piece.length) this.#at += length;
      else yield* this.#skip(length);
    }
  }

  *#skip(length: number): Generator<void, void, void> {
    let left = length;
    while (left > this.#piece.length - this.#at) {
      left -= this.#piece.length - this.#at;
      this.#at = this.#piece.length;
      yield;
    }
    this.#at += left;
  }

  *#readByte(): Generator<void, number, void> {
    while (this.#at >= this.#piece.length) yield;
    return this.#piece[this.#at++] as number;
  }

  /** A sign byte, then four bytes, the lowest first. */
  *#readInt(): Generator<void, number, void> {
    const sign = yield* this.#readByte();
    if (sign > 1) throw this.#malformed(`a number in it has the sign ${sign}`);
    let value = 0;
    for (let byte = 0; byte < 4; byte++) value += (yield* this.#readByte()) * 2 ** (8 * byte);
    return sign === 1 ? -value : value;
  }

  /** The text if `kept` (at most its first 200 bytes), '' otherwise; null where the archive has none. */
  *#readText(kept: boolean): Generator<void, string | null, void> {
    const length = yield* this.#readInt();
    if (length < 0) return null;
    if (!kept) {
      yield* this.#skip(length);
      return '';
    }
    const bytes = Buffer.alloc(Math.min(length, 200));
    for (let byte = 0; byte < bytes.length; byte++) bytes[byte] = yield* this.#readByte();
    yield* this.#skip(length - bytes.length);
    return bytes.toString('utf8');
  }

  #someAwaited(): string {
    return this.#awaited.values().next().value ?? '';
  }

  #malformed(problem: string): CodedError {
    this.#ended = false;
    // Text in front is what some program said instead of, or before, the archive.
    const text = this.#first.toString('utf8').split('PGDMP')[0] ?? '';
    const begin = (/^[^\p{Cc}\uFFFD]*(?:\s+[^\p{Cc}\uFFFD]+)*/u.exec(text)?.[0] ?? '').trim();
    const said = begin === '' ? '' : `; it begins with ${JSON.stringify(begin)}`;
    return new CodedError('SOURCE_FAILED', `what pg_dump printed is not an archive: ${problem}${said}`, {
      hint: 'a terminal or another program between pg_dump and mastokeep changes bytes: docker compose exec needs -T',
      context: { atByte: this.#bytesBefore + this.#at, place: this.#place },
    });
  }
}
