import { createHash, scryptSync } from 'node:crypto';
import type { DeviceIdentity } from '../../shared/identity/device-identity.ts';
import { crashPoint } from '../../shared/io/crash-point.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { Json } from '../../shared/sealing/canonical-json.ts';
import { ManifestWriter } from '../../shared/sealing/manifest-writer.ts';
import { packName, versionName, versionSignatureName } from '../../shared/sealing/object-name.ts';
import { encodeRootMessage, type SourceFacts } from '../../shared/sealing/root-message.ts';
import { Sealer } from '../../shared/sealing/sealer.ts';
import { signRecord } from '../../shared/sealing/signed-record.ts';
import { encodeVersionRecord } from '../../shared/sealing/version-record.ts';
import { displayPath } from '../../shared/records/relative-path.ts';
import type { Source } from '../source/source.ts';
import { CutLog, type LoggedFile } from './cut-log.ts';
import { choosePacksToForget, isKnown } from './known-packs.ts';
import { manifestPieces } from './manifest-pieces.ts';
import { PackPipeline } from './pack-pipeline.ts';
import { PackUse } from './pack-use.ts';
import { chooseChunking } from './seal-chunking.ts';
import type { EpochRow, SealIndex, Unreadable } from './seal-index.ts';
import type { SealTo } from './seal-message.ts';
import type { NewObject } from './sealed-object.ts';
import type { SpoolBound } from './spool-bound.ts';
import type { SpoolKeeper } from './spool-keeper.ts';
import type { Spool } from './spool.ts';

export type DumpResult = {
  folder: string;
  epoch: string;
  number: number;
  /** The version is durable on a receiver that has acknowledged this. */
  sequence: number;
  /** Of all files together. */
  plainBytes: number;
  /** Plaintext that was not known. */
  newBytes: number;
  /** Plaintext that was sealed again so that sparse packs can be forgotten. */
  resealedBytes: number;
  newPacks: number;
  /** What receivers pull for this version, all packs, root message and record. */
  sealedBytes: number;
  durationMs: number;
  /** What is not in the version because it could not be read. */
  unreadable: Unreadable;
};

export type DumperDeps = {
  index: SealIndex;
  keeper: SpoolKeeper;
  spool: Spool;
  bound: SpoolBound;
  source: Source;
  identity: DeviceIdentity;
  databaseFile: string;
  /** To whom it is sealed now; read again for every dump. @throws CodedError KEY_INVALID, KEY_UNUSABLE */
  sealTo: () => Promise<SealTo>;
  logger: Logger;
  now: () => number;
  /** Something came into the spool. */
  onAdded: () => void;
};

export type DumperOptions = { folder: string; packBytesMax?: number };

/** One dump under way. `packs` and `sealedBytes` are what it has sealed so far. */
type Run = {
  epoch: EpochRow;
  sealer: Sealer;
  startedAt: number;
  packs: number;
  sealedBytes: number;
  signal: AbortSignal;
};

/** Packs whose chunks cannot be found by id yet: the thread that cuts remembers them. */
const pendingPacksMax = 16;

/** Makes versions of one sealed folder. One at a time. */
export class Dumper {
  readonly #deps: DumperDeps;
  readonly #options: DumperOptions;

  constructor(deps: DumperDeps, options: DumperOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * Reads the source once and makes a version of it, durable in the spool when it resolves. When it rejects, there is
   * no version; packs that were sealed stay and are not sealed again by the next run. `onFirstOutput`: called once, when
   * the source gives its first bytes.
   * @throws CodedError SOURCE_FAILED, SPOOL_FULL, DISK_FAILED, KEY_INVALID, KEY_UNUSABLE, PG_DUMP_TOO_OLD
   */
  async dump(signal: AbortSignal, onFirstOutput: () => void = () => {}): Promise<DumpResult> {
    const { index, keeper, spool, source, now } = this.#deps;
    const startedAt = now();
    keeper.settle();
    const sealTo = await this.#deps.sealTo();
    const sealer = await sealerTo(sealTo);
    const factsBefore = await source.describe(signal);
    const epoch = this.#currentEpoch(sealTo, startedAt);
    index.chunks.settle();
    const run: Run = { epoch, sealer, startedAt, packs: 0, sealedBytes: 0, signal };
    const log = new CutLog(spool.directory);
    const pipeline = this.#openPipeline(run, log, this.#chunking(factsBefore));
    try {
      await this.#cutEntries(pipeline, log, signal, onFirstOutput);
      const stats = { ...(await pipeline.flush()) };
      const facts = factsBefore.kind === 'postgres' ? factsBefore : await source.describe(signal);
      const version = await this.#makeVersion(pipeline, run, { log, facts, stats });
      this.#deps.onAdded();
      keeper.settle();
      return {
        folder: this.#options.folder,
        epoch: epoch.name,
        ...version,
        ...stats,
        newPacks: run.packs,
        sealedBytes: run.sealedBytes,
        durationMs: now() - startedAt,
        unreadable: unreadableOf(facts),
      };
    } finally {
      await pipeline.close();
      log.close();
      keeper.reconcile();
    }
  }

  /** What it seals is counted in `run`. */
  #openPipeline(run: Run, log: CutLog, chunking: string): PackPipeline {
    const { index, keeper, spool, bound, databaseFile, now } = this.#deps;
    const { epoch, sealer, signal } = run;
    const active = keeper.active();
    const known = index.objects.packs(epoch.id).filter((pack) => isKnown(pack, active, run.startedAt));
    const budget = index.lastVersion()?.new_bytes ?? 0;
    return new PackPipeline(
      {
        waitForRoom: async (bytesNeeded) => bound.waitForRoom(bytesNeeded, signal),
        onPack: ({ id, hash, bytes, chunkList }, plainBytes, chunks) => {
          const object = {
            id,
            kind: 'pack',
            name: packName(hash),
            hash,
            bytes,
            plainBytes,
            chunkList,
          } as const;
          index.addPack(epoch.id, object, chunks, now());
          crashPoint('seal.pack-indexed');
          run.packs += 1;
          run.sealedBytes += bytes;
          this.#deps.onAdded();
          if (index.chunks.pending() >= pendingPacksMax) index.chunks.settle();
          return index.chunks.pending() === 0;
        },
        onExtents: (extents) => log.addExtents(extents),
      },
      {
        databaseFile,
        secret: epoch.secret,
        chunking,
        known: known.map(({ id }) => id),
        forgotten: choosePacksToForget(known, budget),
        firstPack: index.objects.nextId(),
        ...(this.#options.packBytesMax === undefined ? {} : { packBytesMax: this.#options.packBytesMax }),
        spoolDirectory: spool.directory,
        sealer,
      },
    );
  }

  /** The epoch, a new one where the recipients are others than before. */
  #currentEpoch(sealTo: SealTo, nowMs: number): EpochRow {
    const { index, logger } = this.#deps;
    const recipients = describeRecipients(sealTo);
    const epoch = index.epoch();
    if (epoch?.recipients === recipients) return epoch;
    const begun = index.startEpoch(recipients, nowMs);
    crashPoint('seal.epoch-started');
    logger.info(
      { folder: this.#options.folder, epoch: begun.name },
      'a new epoch begins: everything is sealed and sent once more',
    );
    return begun;
  }

  #chunking(facts: { kind: string }): string {
    const { index } = this.#deps;
    const chosen = index.folder().chunking;
    if (chosen !== null) return chosen;
    const sizes = facts as { databaseBytes?: number; bytes?: number };
    const { name } = chooseChunking(sizes.databaseBytes ?? sizes.bytes ?? 0);
    index.setChunking(name);
    return name;
  }

  async #cutEntries(
    pipeline: PackPipeline,
    log: CutLog,
    signal: AbortSignal,
    onFirstOutput: () => void,
  ): Promise<void> {
    let hasOutput = false;
    for await (const { content, ...entry } of this.#deps.source.entries(signal)) {
      let file: LoggedFile | null = null;
      if (content !== null) {
        for await (const piece of content) {
          if (!hasOutput) onFirstOutput();
          hasOutput = true;
          await pipeline.write(piece);
        }
        const { size, hash } = await pipeline.endFile();
        file = log.endFile(size, hash);
      }
      log.addEntry({ entry, file });
    }
    signal.throwIfAborted();
  }

  async #makeVersion(
    pipeline: PackPipeline,
    run: Run,
    { log, facts, stats }: { log: CutLog; facts: object; stats: { plainBytes: number; newBytes: number } },
  ): Promise<{ number: number; sequence: number }> {
    const { index, spool, bound, identity, now } = this.#deps;
    const { folder } = this.#options;
    const { epoch, sealer, startedAt, signal } = run;
    const before = index.lastVersion();
    const number = (before?.number ?? 0) + 1;
    const createdAt = new Date(startedAt).toISOString();
    const use = new PackUse(index.objects);
    const listed = new Set(
      this.#manifestPacks(before?.epoch === epoch.id ? parseList(before.manifest_packs) : []),
    );
    const writer = new ManifestWriter({ folder, createdAt });
    for (const piece of manifestPieces(log, { writer, use, listed })) await pipeline.write(piece);
    const { size, hash } = await pipeline.endFile();
    const manifest = log.endFile(size, hash);
    await pipeline.flush();
    const root = encodeRootMessage({
      folder,
      epoch: epoch.name,
      number,
      createdAt,
      source: toFacts(facts),
      manifest: {
        size: manifest.size,
        sha256: manifest.hash.toString('hex'),
        extents: [...log.extents(manifest.extents)].flatMap((block) => use.extents(block)),
      },
    });
    const sealedRoot = await pipeline.sealRoot(new Uint8Array(root));
    index.addRoot(epoch.id, newObject('root', packName(sealedRoot.hash), sealedRoot), now());
    crashPoint('seal.root-indexed');

    const rootHash = sealedRoot.hash.toString('hex');
    const record = encodeVersionRecord({
      agent: identity.deviceId,
      folder,
      epoch: epoch.name,
      number,
      createdAt,
      previous: before?.record_hash ?? null,
      root: rootHash,
      packs: [...use.sizes(), [rootHash, sealedRoot.bytes]],
      recipients: [...sealer.recipientKeyIds],
    });
    const signature = signRecord(record, identity.keyPem);
    const name = { number, epoch: epoch.name };
    await bound.waitForRoom(() => record.length + signature.length, signal);
    spool.write(versionSignatureName(name), signature);
    crashPoint('seal.signature-written');
    spool.write(versionName(name), record);
    crashPoint('seal.record-written');
    run.sealedBytes += sealedRoot.bytes + record.length + signature.length;
    const sequence = index.addVersion(
      epoch.id,
      {
        signature: newObject('signature', versionSignatureName(name), plainObject(signature)),
        record: newObject('version', versionName(name), plainObject(record)),
        rootHash: sealedRoot.hash,
      },
      {
        number,
        created_at: startedAt,
        plain_bytes: stats.plainBytes,
        new_bytes: stats.newBytes,
        sealed_bytes: run.sealedBytes,
        manifest_packs: JSON.stringify([...listed]),
      },
      use.used,
      now(),
    );
    crashPoint('seal.version-indexed');
    return { number, sequence };
  }

  /**
   * The list of packs with which the manifest begins: that of the version before, so that lines of unchanged files stay
   * equal; renewed once less than half of it is used.
   */
  #manifestPacks(before: readonly string[]): string[] {
    const { index } = this.#deps;
    const used = before.filter((hash) => index.objects.usesPack(Buffer.from(hash, 'hex')));
    return used.length * 2 < before.length ? used : [...before];
  }
}

async function sealerTo(sealTo: SealTo): Promise<Sealer> {
  return sealTo.kind === 'recipients'
    ? Sealer.toRecipients(sealTo.recipients)
    : Sealer.toPassphrase(sealTo.passphrase);
}

/**
 * A text that differs when the recipients do, whatever their order. It stays in seal.db after the passphrase has gone, so
 * it must be slow to guess a passphrase from it.
 */
export function describeRecipients(sealTo: SealTo): string {
  if (sealTo.kind === 'passphrase') {
    return `passphrase ${scryptSync(sealTo.passphrase, 'mastokeep epoch', 32).toString('hex')}`;
  }
  const keys = sealTo.recipients.map(
    ({ fingerprint, encryptionKeyId }) => `${fingerprint}/${encryptionKeyId}`,
  );
  return keys.sort().join(' ');
}

function newObject(
  kind: NewObject['kind'],
  name: string,
  { hash, bytes, chunkList }: { hash: Buffer; bytes: number; chunkList: Buffer | null },
): NewObject {
  return { id: null, kind, name, hash, bytes, plainBytes: 0, chunkList };
}

function plainObject(bytes: Buffer): { hash: Buffer; bytes: number; chunkList: null } {
  return { hash: createHash('sha256').update(bytes).digest(), bytes: bytes.length, chunkList: null };
}

function unreadableOf(facts: Awaited<ReturnType<Source['describe']>>): Unreadable {
  if (facts.kind !== 'paths') return { count: 0, paths: [] };
  const paths = facts.skipped.map(({ path, reason }) => `/${displayPath(path)}: ${reason}`);
  return { count: facts.skippedFiles, paths };
}

function toFacts(facts: object): SourceFacts {
  return JSON.parse(JSON.stringify(facts)) as { kind: string } & Record<string, Json>;
}

function parseList(text: string): string[] {
  return text === '' ? [] : (JSON.parse(text) as string[]);
}
