import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { createPublicKey } from 'node:crypto';
import { openSealDatabase } from '../../agent/seal/seal-database.ts';
import { SealedFolder } from '../../agent/seal/sealed-folder.ts';
import { SpoolBound, type SpoolBoundOptions } from '../../agent/seal/spool-bound.ts';
import type { Source } from '../../agent/source/source.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { generateKeyPair } from '../../shared/sealing/key-pair.ts';
import { readManifest } from '../../shared/sealing/manifest-reader.ts';
import type { ManifestEntry } from '../../shared/sealing/manifest-entry.ts';
import { packName, versionSignatureName } from '../../shared/sealing/object-name.ts';
import { loadRecipients, type Recipient } from '../../shared/sealing/recipient.ts';
import { unsealRootMessage, type RootMessage } from '../../shared/sealing/root-message.ts';
import { openKeyUnsealer, unsealPack, type Unsealer } from '../../shared/sealing/unsealer.ts';
import { verifyVersionRecord, type VersionRecord } from '../../shared/sealing/version-record.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';

type Facts = Awaited<ReturnType<Source['describe']>>;

/** A source whose bytes and facts a test decides. `pieces` may throw. */
function bytesSource(pieces: () => AsyncIterable<Buffer>, facts: () => Facts): Source {
  return {
    describe: () => Promise.resolve(facts()),
    fingerprint: () => Promise.resolve(null),
    // oxlint-disable-next-line require-await -- an async generator, as every source's entries are
    async *entries() {
      yield {
        path: 'database.dump' as RelativePath,
        kind: 'file',
        mode: 0o600,
        uid: 0,
        gid: 0,
        mtimeNs: 1_700_000_000_000_000_000n,
        target: null,
        size: null,
        content: pieces(),
      };
    },
  };
}

/** The content in pieces of 64 KiB, as a pipe gives it. */
export async function* inPieces(content: Buffer, pieceBytes = 65_536): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += pieceBytes) {
    await new Promise((resolve) => setImmediate(resolve));
    yield content.subarray(at, at + pieceBytes);
  }
}

export type TestKey = {
  recipient: Recipient;
  unsealer: Unsealer;
  publicArmored: string;
  privateArmored: string;
};

export async function createTestKey(name: string): Promise<TestKey> {
  const pair = await generateKeyPair({ name, email: `${name}@example.org` }, 'secret');
  const [recipient] = await loadRecipients([{ name, content: pair.publicArmored }]);
  const unsealer = await openKeyUnsealer(pair.privateArmored, 'secret');
  return { recipient: recipient as Recipient, unsealer, ...pair };
}

/** A receiver that takes everything: objects by name, and what it would say to the agent. */
export class HeldObjects {
  readonly files = new Map<string, Buffer>();
  sequence = 0;
  bytesPulled = 0;
  readonly id: string;
  #directory: string | null = null;

  constructor(id: string) {
    this.id = id;
  }

  /** What an earlier process of that receiver left in the directory; everything goes there from here on. */
  static load(id: string, directory: string): HeldObjects {
    const held = new HeldObjects(id);
    held.#directory = directory;
    for (const name of fs.readdirSync(directory)) {
      const content = fs.readFileSync(path.join(directory, name));
      if (name === 'sequence') held.sequence = Number(content.toString());
      else held.files.set(decodeURIComponent(name), content);
    }
    return held;
  }

  /** Pulls all that the feed announces and acknowledges it. */
  pull(feed: SealedFolder['feed'], batchesMax = Number.POSITIVE_INFINITY): void {
    for (let batches = 0; batches < batchesMax; batches += 1) {
      const batch = feed.batchAfter(this.sequence, 16);
      if (batch === null) break;
      for (const record of batch.records) this.#take(feed, record);
      this.sequence = batch.through;
      this.#keep('sequence', Buffer.from(String(batch.through)));
      feed.acknowledged(this.id, { indexId: feed.indexId(), sequence: batch.through, token: batch.token });
    }
  }

  /** The newest version record's name. */
  latest(): string {
    const names = [...this.files.keys()].filter((name) => name.endsWith('.json')).sort();
    return names.at(-1) as string;
  }

  #take(feed: SealedFolder['feed'], { path: name, state }: FileRecord): void {
    if (state.kind !== 'file') throw new Error(`${name} is ${state.kind}`);
    if (this.files.has(name)) return;
    const source = feed.openSource(name);
    if (source === null) return;
    const bytes = Buffer.alloc(source.size);
    fs.readSync(source.fd, bytes, 0, bytes.length, 0);
    source.close();
    if (!createHash('sha256').update(bytes).digest().equals(state.hash))
      throw new Error(`${name} has another hash`);
    this.bytesPulled += bytes.length;
    this.files.set(name, bytes);
    this.#keep(encodeURIComponent(name), bytes);
  }

  #keep(name: string, content: Buffer): void {
    if (this.#directory !== null) writeFileAtomic(path.join(this.#directory, name), content);
  }
}

export type ReadVersion = {
  record: VersionRecord;
  root: RootMessage;
  files: Map<string, Buffer>;
  entries: ManifestEntry[];
};

/** Rebuilds a version from objects alone, with the readers of shared/sealing, checking all there is to check. */
export async function readVersion(
  files: ReadonlyMap<string, Buffer>,
  name: string,
  options: { unsealer: Unsealer; agentKeyPem: string; folder: string },
): Promise<ReadVersion> {
  const { unsealer, folder } = options;
  const held = (object: string): Buffer => {
    const bytes = files.get(object);
    if (bytes === undefined) throw new Error(`${object} is not held`);
    return bytes;
  };
  const signature = held(`${name}.sig`);
  const publicKey = createPublicKey(options.agentKeyPem).export({ type: 'spki', format: 'der' });
  const record = verifyVersionRecord(held(name), signature, publicKey, { folder });
  if (`${name}.sig` !== versionSignatureName(record)) throw new Error('the record has another name');
  for (const [hash, bytes] of record.packs) {
    const pack = held(packName(hash));
    if (pack.length !== bytes) throw new Error('a pack has another size');
    if (createHash('sha256').update(pack).digest('hex') !== hash) throw new Error('a pack has another hash');
  }
  const named = new Set(record.packs.map(([hash]) => hash));
  const opened = new Map<string, Buffer>();
  const read = async (
    extents: readonly { pack: string; offset: number; length: number }[],
  ): Promise<Buffer> => {
    const parts: Buffer[] = [];
    for (const { pack, offset, length } of extents) {
      if (!named.has(pack)) throw new Error('the record does not name a pack that is used');
      let plain = opened.get(pack);
      if (plain === undefined) {
        plain = await unsealPack(held(packName(pack)), unsealer);
        opened.set(pack, plain);
      }
      parts.push(plain.subarray(offset, offset + length));
    }
    return Buffer.concat(parts);
  };
  const root = await unsealRootMessage(held(packName(record.root)), unsealer, record);
  const manifest = await read(root.manifest.extents);
  if (createHash('sha256').update(manifest).digest('hex') !== root.manifest.sha256)
    throw new Error('another manifest');
  const entries: ManifestEntry[] = [];
  const contents = new Map<string, Buffer>();
  for await (const entry of readManifest([manifest], { folder })) {
    entries.push(entry);
    if (entry.type !== 'file') continue;
    const content = await read(entry.extents);
    if (!createHash('sha256').update(content).digest().equals(entry.hash))
      throw new Error(`${entry.path} differs`);
    contents.set(entry.path, content);
  }
  return { record, root, files: contents, entries };
}

/** `bound`: shared with other folders, instead of one by `spool`. */
export type SealedBenchOptions = {
  packBytesMax?: number;
  spool?: SpoolBoundOptions;
  bound?: SpoolBound;
};

/** A sealed folder on a home of its own, which can be closed and opened again as after a restart. */
export class SealedBench {
  readonly home: string;
  readonly folder: string;
  content: () => AsyncIterable<Buffer> = () => inPieces(Buffer.alloc(0));
  facts: Facts = { kind: 'command', pipefail: true };
  recipients: Recipient[];
  clockMs: number | null = null;
  sealed: SealedFolder;
  readonly identity: Awaited<ReturnType<typeof createDeviceIdentity>>;
  readonly options: SealedBenchOptions;
  #database: ReturnType<typeof openSealDatabase>;

  private constructor(
    home: string,
    identity: SealedBench['identity'],
    recipients: Recipient[],
    options: SealedBenchOptions,
  ) {
    this.home = home;
    this.folder = 'database';
    this.identity = identity;
    this.recipients = recipients;
    this.options = options;
    [this.#database, this.sealed] = this.#open();
  }

  static async create(
    home: string,
    recipients: Recipient[],
    options: SealedBenchOptions = {},
  ): Promise<SealedBench> {
    return new SealedBench(home, await createDeviceIdentity(home), recipients, options);
  }

  /** Another life of the same device on what is left of its home. */
  static reuse(
    home: string,
    recipients: Recipient[],
    identity: SealedBench['identity'],
    options: SealedBenchOptions = {},
  ): SealedBench {
    return new SealedBench(home, identity, recipients, options);
  }

  get feed(): SealedFolder['feed'] {
    return this.sealed.feed;
  }

  async dump(content: Buffer): ReturnType<SealedFolder['dump']> {
    this.content = () => inPieces(content);
    return this.sealed.dump(new AbortController().signal);
  }

  /** As if the program had been started again. */
  reopen(): void {
    this.close();
    [this.#database, this.sealed] = this.#open();
  }

  close(): void {
    if (!this.#database.open) return;
    this.sealed.close();
    this.#database.close();
  }

  spoolNames(): string[] {
    const spool = path.join(this.home, 'spool', this.folder);
    return fs.readdirSync(spool, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.'));
  }

  #open(): [ReturnType<typeof openSealDatabase>, SealedFolder] {
    const databaseFile = path.join(this.home, 'seal.db');
    const database = openSealDatabase(databaseFile);
    const now = (): number => this.clockMs ?? Date.now();
    const sealed = new SealedFolder(
      {
        database,
        databaseFile,
        source: bytesSource(
          () => this.content(),
          () => this.facts,
        ),
        bound:
          this.options.bound ??
          new SpoolBound(now, this.options.spool ?? { bytesMax: 1024 ** 3, waitMsMax: 60_000 }),
        identity: this.identity,
        sealTo: () => Promise.resolve({ kind: 'recipients', recipients: this.recipients }),
        logger: silentLogger,
        now,
      },
      {
        folder: this.folder,
        spoolDirectory: path.join(this.home, 'spool', this.folder),
        ...(this.options.packBytesMax === undefined ? {} : { packBytesMax: this.options.packBytesMax }),
      },
    );
    return [database, sealed];
  }
}
