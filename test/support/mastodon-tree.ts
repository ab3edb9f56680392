import fs from 'node:fs';
import path from 'node:path';
import { SeededRandom } from './seeded-random.ts';

export type MastodonTreeOptions = {
  seed: number | string;
  /** Files that are to be replicated, within a few; those under `cache/` come on top. */
  files: number;
  /** Median size of an original; the mean is about twice that. */
  medianBytes?: number;
  /** No file is larger. */
  bytesMax?: number;
  /** Files of remote servers below `cache/`. */
  cacheFiles?: number;
  /** When the newest upload was made, ms. */
  newestAt?: number;
};

/** One record of Mastodon's with its files; `directory` and `files` are relative to the root. */
export type Attachment = { id: bigint; directory: string; files: string[] };

const minuteMs = 60_000;
const dayMs = 86_400_000;
const attachmentRoot = 'media_attachments/files';

/**
 * A media tree as Mastodon's `public/system` is: the same paths, about five directories for an attachment of two
 * files, ids that grow with time so that new uploads fall under the newest prefixes. The same options give the same
 * paths and bytes. Methods that change the tree do it the way Mastodon does: a file comes whole, by a rename.
 */
export class MastodonTree {
  readonly root: string;
  readonly attachments: Attachment[] = [];
  readonly avatars: Attachment[] = [];
  readonly #random: SeededRandom;
  readonly #medianBytes: number;
  readonly #bytesMax: number;
  #newestAt: number;
  #files = 0;

  private constructor(root: string, options: MastodonTreeOptions) {
    this.root = root;
    this.#random = new SeededRandom(options.seed);
    this.#medianBytes = options.medianBytes ?? 4096;
    this.#bytesMax = options.bytesMax ?? Number.POSITIVE_INFINITY;
    this.#newestAt = options.newestAt ?? Date.now() - 5 * minuteMs;
  }

  /** Makes the tree in `root`, which is created. */
  static make(root: string, options: MastodonTreeOptions): MastodonTree {
    const tree = new MastodonTree(root, options);
    fs.mkdirSync(root, { recursive: true });
    tree.#makeSite();
    tree.#makeAccounts(Math.ceil(options.files * 0.02));
    tree.#makeEmojis(Math.ceil(options.files * 0.01));
    tree.#makeAttachments(options.files - tree.#files);
    tree.#makeCache(options.cacheFiles ?? 0);
    return tree;
  }

  /** Files outside `cache/`. */
  get files(): number {
    return this.#files;
  }

  /** A new post's media: an id later than all others (by `afterMs`), its directories, then its files. */
  addUpload(options: { bytes?: number; extension?: string; afterMs?: number } = {}): Attachment {
    this.#newestAt += options.afterMs ?? this.#random.integer(200, 4000);
    const attachment = this.#makeAttachment(this.#newestAt, { ...options, aged: false });
    this.attachments.push(attachment);
    return attachment;
  }

  /** What processing a video again does: other bytes under the same name. */
  rewriteOriginal(attachment: Attachment, bytes?: number): string {
    const file = attachment.files[0];
    if (file === undefined) throw new Error('an attachment without files');
    const size = bytes ?? this.#random.lognormal(this.#medianBytes, 0.8);
    this.#bringIn(file, this.#random.bytes(size), fs.statSync(path.join(this.root, file)).mode);
    return file;
  }

  /** A new avatar: a new name in the same directory, then the old file goes. */
  replaceAvatar(avatar: Attachment): { removed: string; added: string } {
    const removed = avatar.files[0];
    if (removed === undefined) throw new Error('an avatar without a file');
    const added = path.join(path.dirname(removed), `${this.#random.hex(16)}.png`);
    this.#write(added, this.#random.lognormal(this.#medianBytes, 0.5), null);
    fs.unlinkSync(path.join(this.root, removed));
    this.#files--;
    avatar.files[0] = added;
    return { removed, added };
  }

  /** What paperclip does when a post goes: unlinks the files, then removes parents as long as they are empty. */
  deleteAttachment(attachment: Attachment): void {
    for (const file of attachment.files) {
      fs.unlinkSync(path.join(this.root, file));
      this.#files--;
      for (let parent = path.dirname(file); parent !== '.'; parent = path.dirname(parent)) {
        try {
          fs.rmdirSync(path.join(this.root, parent));
        } catch {
          break;
        }
      }
    }
    const place = this.attachments.indexOf(attachment);
    if (place >= 0) this.attachments.splice(place, 1);
  }

  /** Moves the attachment's files to another id, as a repair of a broken import does. */
  moveAttachment(attachment: Attachment): Attachment {
    this.#newestAt += this.#random.integer(200, 4000);
    const moved = this.#newAttachment(this.#newestAt);
    fs.mkdirSync(path.join(this.root, path.dirname(moved.directory)), { recursive: true });
    fs.renameSync(path.join(this.root, attachment.directory), path.join(this.root, moved.directory));
    moved.files = attachment.files.map((file) =>
      path.join(moved.directory, path.relative(attachment.directory, file)),
    );
    this.attachments.splice(this.attachments.indexOf(attachment), 1, moved);
    return moved;
  }

  /** A file below the root with bytes of the seed; its directories are made. */
  writeFile(relativePath: string, bytes: number): string {
    this.#write(relativePath, bytes, null);
    return relativePath;
  }

  appendTo(relativePath: string, bytes: number): void {
    fs.appendFileSync(path.join(this.root, relativePath), this.#random.bytes(bytes));
  }

  insertInto(relativePath: string, offset: number, bytes: number): void {
    const file = path.join(this.root, relativePath);
    const before = fs.readFileSync(file);
    const parts = [before.subarray(0, offset), this.#random.bytes(bytes), before.subarray(offset)];
    this.#bringIn(relativePath, Buffer.concat(parts), fs.statSync(file).mode);
  }

  #makeSite(): void {
    for (const [id, styles] of [
      ['1', ['original', '@1x', '@2x']],
      ['2', ['original', '16', '32', '192', '512']],
    ] as const) {
      const directory = `site_uploads/files/${partition(BigInt(id))}`;
      const name = `${this.#random.hex(16)}.png`;
      for (const style of styles) this.#write(`${directory}/${style}/${name}`, 2000, this.#oldTime());
    }
  }

  #makeAccounts(count: number): void {
    for (let made = 0; made < count; made++) {
      const at = this.#oldTime();
      const id = snowflake(at, this.#random.integer(0, 65_535));
      const animated = made % 10 === 0;
      const name = `${this.#random.hex(16)}.${animated ? 'gif' : 'png'}`;
      const directory = `accounts/avatars/${partition(id)}`;
      const files = [`${directory}/original/${name}`];
      if (animated) files.push(`${directory}/static/${name.replace('.gif', '.png')}`);
      for (const file of files) this.#write(file, this.#random.lognormal(this.#medianBytes, 0.5), at);
      this.avatars.push({ id, directory, files });
      if (made % 2 === 0) {
        this.#write(
          `accounts/headers/${partition(id)}/original/${this.#random.hex(16)}.jpg`,
          this.#random.lognormal(this.#medianBytes * 2, 0.5),
          at,
        );
      }
    }
  }

  #makeEmojis(count: number): void {
    for (let id = 1; id <= count; id++) {
      const name = `${this.#random.hex(16)}.png`;
      for (const style of ['original', 'static']) {
        this.#write(
          `custom_emojis/images/${partition(BigInt(id))}/${style}/${name}`,
          this.#random.lognormal(this.#medianBytes / 3, 0.5),
          this.#oldTime(),
        );
      }
    }
  }

  #makeAttachments(files: number): void {
    const target = this.#files + files;
    const times: number[] = [];
    // Posts come in bursts; the more recent, the denser. About 1.8 files an attachment.
    const wanted = Math.ceil(files / 1.8);
    while (times.length < wanted) {
      const ageMs = times.length === 0 ? 0 : this.#random.fraction() ** 3 * 170 * dayMs;
      const burstAt = this.#newestAt - Math.floor(ageMs);
      const burst = this.#random.integer(4, 12);
      for (let made = 0; made < burst; made++) times.push(burstAt - this.#random.integer(0, 12_000));
    }
    for (const at of times.sort((a, b) => a - b)) {
      if (this.#files >= target) break;
      this.attachments.push(this.#makeAttachment(at, { aged: true }));
    }
  }

  #makeCache(files: number): void {
    for (let made = 0; made < files; made++) {
      const id = snowflake(this.#newestAt - made * 977, this.#random.integer(0, 65_535));
      const place = this.#random.pick([
        'media_attachments/files',
        'accounts/avatars',
        'preview_cards/images',
      ]);
      this.#write(
        `cache/${place}/${partition(id)}/original/${this.#random.hex(16)}.jpg`,
        this.#random.lognormal(this.#medianBytes, 1),
        this.#newestAt,
      );
      this.#files--;
    }
  }

  #newAttachment(at: number): Attachment {
    const id = snowflake(at, this.#random.integer(0, 65_535));
    return { id, directory: `${attachmentRoot}/${partition(id)}`, files: [] };
  }

  #makeAttachment(at: number, options: { bytes?: number; extension?: string; aged: boolean }): Attachment {
    const attachment = this.#newAttachment(at);
    const extension = options.extension ?? this.#random.pick(['jpg', 'jpg', 'jpg', 'png', 'mp4', 'mp3']);
    const name = this.#random.hex(16);
    const bytes = options.bytes ?? this.#random.lognormal(this.#medianBytes, 1.1);
    const time = options.aged ? at : null;
    attachment.files.push(`${attachment.directory}/original/${name}.${extension}`);
    this.#write(attachment.files[0] as string, bytes, time);
    if (extension !== 'mp3') {
      const small = `${attachment.directory}/small/${name}.${extension === 'mp4' ? 'png' : extension}`;
      attachment.files.push(small);
      this.#write(small, Math.min(bytes, this.#random.lognormal(this.#medianBytes / 3, 0.5)), time);
    }
    return attachment;
  }

  /** Writes and, for an old file, sets its times and those of the directories that were made for it. */
  #write(relativePath: string, bytes: number, at: number | null): void {
    const file = path.join(this.root, relativePath);
    const made = fs.mkdirSync(path.dirname(file), { recursive: true });
    const content = this.#random.bytes(Math.min(Math.max(bytes, 1), this.#bytesMax));
    this.#bringIn(relativePath, content, this.#mode());
    this.#files++;
    if (at === null) return;
    const seconds = at / 1000 + this.#random.fraction();
    fs.utimesSync(file, seconds, seconds);
    if (made === undefined) return;
    for (let parent = path.dirname(file); parent.length >= made.length; parent = path.dirname(parent)) {
      fs.utimesSync(parent, seconds, seconds);
    }
  }

  /** Nobody who watches the tree sees less than the whole of it. */
  #bringIn(relativePath: string, content: Buffer, mode: number): void {
    const beside = `${this.root}.incoming`;
    fs.writeFileSync(beside, content, { mode });
    fs.renameSync(beside, path.join(this.root, relativePath));
  }

  #mode(): number {
    const draw = this.#random.fraction();
    return draw < 0.94 ? 0o644 : draw < 0.97 ? 0o640 : 0o600;
  }

  #oldTime(): number {
    return this.#newestAt - this.#random.integer(dayMs, 170 * dayMs);
  }
}

/** Mastodon's `timestamp_id`: milliseconds, then 16 bits that only keep ids apart. */
export function snowflake(atMs: number, low16: number): bigint {
  return (BigInt(Math.floor(atMs)) << 16n) | BigInt(low16);
}

/** Paperclip's id_partition: padded to 9 digits (18 for snowflakes), in groups of three. */
export function partition(id: bigint): string {
  const digits = id.toString().padStart(id < 1_000_000_000n ? 9 : 18, '0');
  return (digits.match(/.{3}/g) ?? []).join('/');
}
