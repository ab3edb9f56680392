import { hash as digest, type KeyObject } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import { sameContent, type FileRecord, type FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { packName, versionName, versionSignatureName } from '../../shared/sealing/object-name.ts';
import { parseVersionRecord } from '../../shared/sealing/version-record.ts';
import { assertInOrder, nextBegin, type CommitBatch } from './commit-batch.ts';
import { FolderStore, type FolderStoreParts } from './folder-store.ts';
import type { HeldContent } from './held-content.ts';
import type { LiveRow } from './index-rows.ts';
import { sizeOf, type BeginEntry, type ChangeEntry, type LiveState, type SetEntry } from './journal-entry.ts';
import type { HeldCopy, ReadableContent } from './readable-content.ts';
import { readSealedRecord, type SealedRecord } from './sealed-record.ts';
import { isRefusal, VersionChain, type AcceptedVersion, type ShownVersion } from './version-chain.ts';
import type { HeldVersion, VersionIndex } from './version-index.ts';

/** A version record that was not taken: nothing else has changed because of it. */
export type RefusedVersion = { path: RelativePath; error: CodedError };

/** A version of the folder; complete (durable) when all packs that it needs are held. */
export type SealedVersion = HeldVersion & { complete: boolean };

export type SealedUsage = {
  versions: number;
  /** Of packs and version records. */
  bytes: number;
  /** When the newest complete version arrived, ms by the receiver's clock; null before the first. */
  lastDurableAt: number | null;
};

export type SealedStoreParts = FolderStoreParts & {
  held: HeldContent;
  versions: VersionIndex;
  folderId: string;
  /** The agent's public key; null as long as it is not known. */
  agentKey: () => KeyObject | null;
  onRefused: (refused: RefusedVersion) => void;
  /** Needed by held versions and not there, at the opening. */
  missing: ReadonlySet<string>;
};

/** Packs of a dump that was not finished stay so long after their receipt, for the next run to refer to. */
const leaseMs = 7 * 86_400_000;
const rowsAtOnce = 1000;

/**
 * What a receiver keeps of one sealed folder of one agent: packs under their hash, and signed version records. Nothing
 * that an agent says replaces or removes any of it. Made by `openSealedStore`; changes are carried out one after the
 * other.
 * @see docs/storage-format.md#sealed-folders
 */
export class SealedStore extends FolderStore<SealedStoreParts> {
  readonly kind = 'sealed';
  /** Hashes (hexadecimal) of packs that held versions need and that are not there. */
  readonly #missing: Set<string>;
  /** Hashes of packs that were announced since the opening and are not there, but no held version needs. */
  readonly #gone = new Set<string>();
  #incomplete: Set<string> | null = null;

  constructor(parts: SealedStoreParts) {
    super(parts);
    this.#missing = new Set(parts.missing);
  }

  /** @throws CodedError PROTOCOL_VIOLATION for what no sealed folder has */
  need(record: FileRecord): 'nothing' | 'held' | 'fetch' {
    const { name, state } = readSealedRecord(record);
    if (state === null) return 'nothing';
    if (name.kind !== 'pack' && this.parts.versions.get(name.number, name.epoch) !== null) return 'nothing';
    if (this.#holds(record.path, state)) return 'nothing';
    return this.parts.staging.has(state.hash) ? 'held' : 'fetch';
  }

  /** Nothing is held under two names, so only what is staged can be had without the agent. */
  async stageHeld(hash: Buffer): Promise<boolean> {
    this.assertUsable();
    return this.parts.staging.has(hash);
  }

  /** No object of a sealed folder ever resembles the one before it. */
  openCurrent(): null {
    return null;
  }

  /** Where a held object with that hash is; not verified. */
  copies(hash: Buffer): HeldCopy[] {
    const key = this.#keyContent(hash);
    return [...(key === null ? [] : [() => key]), ...this.parts.held.copies(hash)];
  }

  /**
   * Takes packs and version records. When it resolves everything in the batch that was not refused is durable and may
   * be acknowledged; when it rejects, nothing may. Staged content is used up.
   * @throws CodedError PROTOCOL_VIOLATION, CONTENT_MISMATCH (content not staged), STORE_FULL, DISK_FAILED
   */
  commit(batch: CommitBatch): Promise<void> {
    return this.oneByOne(async () => {
      const meta = this.meta();
      assertInOrder(batch, meta.position);
      this.parts.freeSpace.assertRoomForJournal();
      const { indexId, through: sequence, token } = batch;
      const begin = nextBegin(meta, this.parts.now(), { indexId, sequence, token });
      const records = batch.records.map(readSealedRecord);
      this.#noteDeletions(records);
      const entries = this.#packEntries(records, begin);
      const { halves, accepted, refused } = this.#takeVersions(records, begin);
      entries.push(...halves);
      const contents = entries.filter(({ path, holding }) => !this.#holds(path, holding.state));
      const claimed = await this.claimContents(contents, async (hash) => this.stageHeld(hash));
      await this.parts.writer.write(begin, entries, contents, () => this.parts.versions.add(accepted));
      this.parts.staging.committed(claimed);
      this.#noteArrivals(entries, accepted, batch.missing);
      for (const one of refused) this.parts.onRefused(one);
    });
  }

  /** An index that does not name something any more removes nothing here. @throws CodedError PROTOCOL_VIOLATION */
  async completeIndex(position: FeedPosition): Promise<{ deletedFiles: number }> {
    const reached = this.meta().position;
    if (reached?.indexId.equals(position.indexId) === true && position.sequence <= reached.sequence) {
      return { deletedFiles: 0 };
    }
    throw new CodedError('PROTOCOL_VIOLATION', 'an index ended at a position that was not reached', {
      context: { sequence: position.sequence, reachedSequence: reached?.sequence ?? null },
    });
  }

  /** Packs (hashes) that were announced or that held versions need, and that are not here. */
  missingPacks(): Buffer[] {
    return [...this.#missing, ...this.#gone].map((hash) => Buffer.from(hash, 'hex'));
  }

  /** Says that a pack turned out to be damaged or lost: it is reported, and taken when it comes again. */
  reportDamaged(hash: Buffer): void {
    if (this.parts.versions.needs(hash)) this.#missing.add(hash.toString('hex'));
    else this.#gone.add(hash.toString('hex'));
    this.#incomplete = null;
  }

  /** All held versions, in the order in which they were received. */
  listVersions(): SealedVersion[] {
    const versions = this.parts.versions.list();
    this.#incomplete ??= this.#findIncomplete(versions);
    const incomplete = this.#incomplete;
    return versions.map((version) => Object.assign(version, { complete: !incomplete.has(keyOf(version)) }));
  }

  usage(): SealedUsage {
    const { bytes } = this.parts.index.usage();
    const complete = this.listVersions().filter((version) => version.complete);
    const newest = complete.reduce<number | null>(
      (latest, { receivedAt }) => Math.max(latest ?? 0, receivedAt),
      null,
    );
    return { versions: this.parts.versions.count(), bytes, lastDurableAt: newest };
  }

  /**
   * The objects that were held at that moment of the receiver's clock (null: now), in byte order of the paths, page by
   * page; first of all the agent's public key as `agent.pem`.
   */
  entriesAt(query: { at: number | null; after: RelativePath | null; limit: number }): {
    entries: { path: RelativePath; state: LiveState }[];
    next: RelativePath | null;
  } {
    const { at, after, limit } = query;
    const pem = after === null ? this.#keyEntry() : [];
    if (pem.length === limit) return { entries: pem, next: agentKeyPath };
    const rows = this.parts.index.liveAfter(after, limit - pem.length);
    const entries = rows
      .filter(({ path, holding }) => (at === null || holding.receivedAt <= at) && !this.#isLacking(path))
      .map(({ path, holding }) => ({ path, state: holding.state }));
    const next = rows.length < limit - pem.length ? null : (rows.at(-1)?.path ?? null);
    return { entries: [...pem, ...entries], next };
  }

  /** Removes packs whose lease is over and that no version needs; durable when it resolves. Versions stay, all of them. */
  async expire(nowMs: number): Promise<{ versions: number; packs: number; bytes: number }> {
    const removed = { versions: 0, packs: 0, bytes: 0 };
    for (let after: RelativePath | null = null; ;) {
      const rows: LiveRow[] = this.parts.index.liveAfter(after, rowsAtOnce);
      if (rows.length === 0) return removed;
      after = rows.at(-1)?.path ?? null;
      // which of them are still unneeded is asked when nothing else happens any more
      await this.oneByOne(async () => {
        const expiring = rows.filter(({ path }) => {
          const row = this.parts.index.live(path);
          return row !== null && this.#mayGo(row, nowMs);
        });
        if (expiring.length === 0) return;
        await this.#remove(expiring);
        removed.packs += expiring.length;
        removed.bytes += expiring.reduce((sum, { holding }) => sum + sizeOf(holding), 0);
      });
    }
  }

  async #remove(rows: readonly LiveRow[]): Promise<void> {
    const meta = this.meta();
    const begin = nextBegin(meta, this.parts.now(), null);
    const changes = rows.flatMap(({ path, holding }, at): ChangeEntry[] => {
      const id = meta.nextVersionId + at;
      return [
        { type: 'remove', path, replaced: { id, name: null, holding } },
        { type: 'expire', path, id, name: null },
      ];
    });
    await this.parts.writer.write({ ...begin, nextVersionId: meta.nextVersionId + rows.length }, changes, []);
    for (const { holding } of rows) this.#gone.add(hashOf(holding.state).toString('hex'));
  }

  #mayGo({ path, holding }: LiveRow, nowMs: number): boolean {
    if (!path.startsWith('packs/') || holding.receivedAt + leaseMs > nowMs) return false;
    return !this.parts.versions.needs(hashOf(holding.state));
  }

  #packEntries(records: readonly SealedRecord[], begin: BeginEntry): SetEntry[] {
    return records.flatMap(({ record, name, state }): SetEntry[] => {
      if (state === null || name.kind !== 'pack') return [];
      const held = this.#holds(record.path, state) ? this.parts.index.live(record.path) : null;
      const needed = this.parts.versions.needs(state.hash);
      // announced again: the agent may refer to it, so its lease begins anew
      return [setEntry(record, state, begin, needed ? (held?.holding.receivedAt ?? begin.at) : begin.at)];
    });
  }

  /**
   * Halves of versions (record, signature) that this batch brings: of those that are whole now, the ones that pass; of
   * the others each, until the other half comes.
   */
  #takeVersions(
    records: readonly SealedRecord[],
    begin: BeginEntry,
  ): { halves: SetEntry[]; accepted: readonly AcceptedVersion[]; refused: RefusedVersion[] } {
    const brought = Map.groupBy(
      records.filter(({ name, state }) => name.kind !== 'pack' && state !== null),
      ({ name }) => (name.kind === 'pack' ? '' : keyOf(name)),
    );
    if (brought.size === 0) return { halves: [], accepted: [], refused: [] };
    const key = this.parts.agentKey();
    if (key === null) throw new CodedError('INTERNAL', 'the public key of the agent is not known');
    const chain = new VersionChain(this.parts.versions, { key, folder: this.parts.folderId });
    const halves: SetEntry[] = [];
    const refused: RefusedVersion[] = [];
    for (const [, group] of [...brought].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      try {
        if (this.#take(group, chain, begin.at)) {
          for (const { record, state } of group)
            if (state !== null) halves.push(setEntry(record, state, begin, begin.at));
        }
      } catch (error) {
        if (!isRefusal(error)) throw error;
        const path = group[0]?.record.path;
        if (path !== undefined) refused.push({ path, error });
      }
    }
    return { halves, accepted: chain.accepted, refused };
  }

  /** Whether the halves are to be stored. @throws CodedError those of VersionChain */
  #take(group: readonly SealedRecord[], chain: VersionChain, receivedAt: number): boolean {
    const name = group[0]?.name;
    if (name === undefined || name.kind === 'pack') return false;
    const { number, epoch } = name;
    if (this.parts.versions.get(number, epoch) !== null) {
      const differing = group.find(({ record, state }) => state !== null && !this.#holds(record.path, state));
      if (differing === undefined) return false;
      throw new CodedError(
        'PROTOCOL_VIOLATION',
        `version ${number} of epoch ${epoch} is announced again with another ${differing.name.kind}`,
        { hint: 'the version that is held stays as it is' },
      );
    }
    const [json, signature] = (['version', 'signature'] as const).map((kind) => {
      const half = group.find((record) => record.name.kind === kind);
      return half?.state === undefined || half.state === null
        ? this.#readHeld(kind === 'version' ? versionName(name) : versionSignatureName(name))
        : (this.parts.staging.read(half.state.hash) ?? this.#readHeld(half.record.path));
    });
    if (json === null || json === undefined || signature === null || signature === undefined) return true;
    const shown: ShownVersion = { number, epoch, json, signature };
    chain.accept(shown, receivedAt);
    return true;
  }

  #noteDeletions(records: readonly SealedRecord[]): void {
    const deletions = records.filter(({ state }) => state === null).length;
    if (deletions > 0) {
      this.parts.logger.info({ deletions }, 'the agent dropped objects of a sealed folder; they stay here');
    }
  }

  #noteArrivals(
    entries: readonly SetEntry[],
    accepted: readonly AcceptedVersion[],
    missing: readonly RelativePath[],
  ): void {
    for (const { holding } of entries) {
      const hash = hashOf(holding.state).toString('hex');
      this.#missing.delete(hash);
      this.#gone.delete(hash);
    }
    for (const path of missing) {
      const hash = /^packs\/([0-9a-f]{64})\.pgp$/.exec(path)?.[1];
      if (hash !== undefined && !this.#missing.has(hash) && this.parts.index.live(path) === null) {
        this.#gone.add(hash);
      }
    }
    for (const { record, version } of accepted) {
      const lacking = record.packs.filter(
        ([hash]) => this.#gone.has(hash) || this.parts.index.live(packPath(hash)) === null,
      );
      for (const [hash] of lacking) {
        this.#gone.delete(hash);
        this.#missing.add(hash);
      }
      const { number, epoch } = version;
      if (lacking.length > 0) {
        const packs = lacking.length;
        this.parts.logger.warn({ number, epoch, packs }, 'a version came without all of its packs');
      }
    }
    this.#incomplete = null;
  }

  #findIncomplete(versions: readonly HeldVersion[]): Set<string> {
    if (this.#missing.size === 0) return new Set();
    const incomplete = versions.filter((version) => {
      const json = this.#readHeld(versionName(version));
      if (json === null || !digest('sha256', json, 'buffer').equals(version.hash)) return true;
      return parseVersionRecord(json).packs.some(([hash]) => this.#missing.has(hash));
    });
    return new Set(incomplete.map(keyOf));
  }

  /** Whether exactly this is at the path, and nothing is known to be wrong with it. */
  #holds(path: RelativePath, state: LiveState): boolean {
    const row = this.parts.index.live(path);
    return row !== null && sameContent(row.holding.state, state) && !this.#isLacking(path);
  }

  #isLacking(path: RelativePath): boolean {
    if (this.#missing.size + this.#gone.size === 0 || !path.startsWith('packs/')) return false;
    const hash = path.slice('packs/'.length, -'.pgp'.length);
    return this.#missing.has(hash) || this.#gone.has(hash);
  }

  #readHeld(name: string): Buffer | null {
    const path = name as RelativePath;
    const content = this.parts.index.live(path) === null ? null : this.parts.held.openCurrent(path);
    if (content === null) return null;
    try {
      return content.read(0, content.size);
    } finally {
      content.close();
    }
  }

  #keyEntry(): { path: RelativePath; state: LiveState }[] {
    const pem = this.#keyPem();
    if (pem === null) return [];
    const hash = digest('sha256', pem, 'buffer');
    const common = { size: pem.length, mtimeNs: 0n, mode: 0o644, uid: 0, gid: 0 };
    return [{ path: agentKeyPath, state: { kind: 'file', hash, ...common } }];
  }

  #keyContent(hash: Buffer): ReadableContent | null {
    const pem = this.#keyPem();
    if (pem === null || !digest('sha256', pem, 'buffer').equals(hash)) return null;
    return {
      size: pem.length,
      read: (offset, length) => pem.subarray(offset, offset + length),
      close: () => {},
    };
  }

  #keyPem(): Buffer | null {
    const key = this.parts.agentKey();
    return key === null ? null : Buffer.from(key.export({ type: 'spki', format: 'pem' }));
  }
}

/** Where a restore finds the agent's public key among the entries. */
const agentKeyPath = 'agent.pem' as RelativePath;

function setEntry(
  { path, sequence, replaces }: FileRecord,
  state: FileState,
  { position }: BeginEntry,
  receivedAt: number,
): SetEntry {
  const indexId = position?.indexId ?? Buffer.alloc(8);
  const holding = { state, indexId, sequence, replaces, receivedAt };
  return { type: 'set', path, holding, namedIn: indexId, temp: null, replaced: null };
}

/** Sorts by epoch and number. */
function keyOf({ number, epoch }: { number: number; epoch: string }): string {
  return `${epoch}-${String(number).padStart(10, '0')}`;
}

function packPath(hash: string): RelativePath {
  return packName(hash) as RelativePath;
}

function hashOf(state: LiveState): Buffer {
  return state.kind === 'file' ? state.hash : Buffer.alloc(32);
}
