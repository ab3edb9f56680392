import type { KeyObject } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import { sameContent, type FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { parseSealedObjectName } from '../../shared/sealing/object-name.ts';
import type { PackArrivals } from '../guard/pack-surge.ts';
import type { ForgottenHistory, KeptHistory, PartProof, PointPart } from '../points/folder-evidence.ts';
import { AgentKeyObjects } from './agent-key-objects.ts';
import type { SignerKey } from './agent-keys.ts';
import { assertInOrder, nextBegin, type CommitBatch } from './commit-batch.ts';
import { FolderStore, type FolderStoreParts } from './folder-store.ts';
import type { HeldContent } from './held-content.ts';
import type { LiveRow } from './index-rows.ts';
import type { BeginEntry, ChangeEntry, LiveState, SetEntry } from './journal-entry.ts';
import type { LackingPacks } from './lacking-packs.ts';
import type { HeldCopy } from './readable-content.ts';
import { recipientHistory, type RecipientHistory } from './recipient-history.ts';
import { packArrivals } from './pack-arrivals.ts';
import { readSealedRecord, type SealedRecord } from './sealed-record.ts';
import { asReceived, hashOf, packPath, setEntry } from './sealed-entry.ts';
import { SealedExpiry } from './sealed-expiry.ts';
import { SealedForgetting } from './sealed-forgetting.ts';
import { SealedDamage } from './sealed-damage.ts';
import type { AcceptedVersion } from './version-chain.ts';
import { versionKey, type HeldVersion, type VersionIndex } from './version-index.ts';
import { VersionIntake, type RefusedVersion, type TakenVersions } from './version-intake.ts';

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
  /** The keys that held records may be signed with; none as long as not all of them are known. */
  signers: () => readonly SignerKey[];
  onRefused: (refused: RefusedVersion) => void;
  lacking: LackingPacks;
};

/**
 * What a receiver keeps of one sealed folder of one agent: packs under their hash, and signed version records. Nothing
 * that an agent says replaces or removes any of it. Made by `openSealedStore`; changes are carried out one after the
 * other.
 * @see docs/storage-format.md#sealed-folders
 */
export class SealedStore extends FolderStore<SealedStoreParts> {
  readonly kind = 'sealed';
  /** Versions are what a point names of it. */
  readonly contentBetween = null;
  readonly #intake: VersionIntake;
  readonly #agentKeys: AgentKeyObjects;
  readonly #expiry: SealedExpiry;
  readonly #forgetting: SealedForgetting;
  readonly #damage: SealedDamage;

  constructor(parts: SealedStoreParts) {
    super(parts, {
      stageHeld: async (hash) => this.parts.staging.has(hash),
      onDamaged: (path) => this.#damage.noteDamaged(path),
      onMended: (path) => this.#damage.noteMended(path),
      booksProblem: async () => this.#damage.booksProblem(),
    });
    this.#agentKeys = new AgentKeyObjects(parts);
    const removal = {
      ...parts,
      list: () => this.listVersions(),
      oneByOne: async (action: () => Promise<void>) => this.oneByOne(action),
      removeRows: async (rows: readonly LiveRow[], onRemoved: () => void) => this.#remove(rows, onRemoved),
    };
    this.#expiry = new SealedExpiry(removal);
    this.#forgetting = new SealedForgetting(removal);
    this.#damage = new SealedDamage(parts);
    this.#intake = new VersionIntake({
      ...parts,
      readStaged: (hash) => parts.staging.read(hash),
      readHeld: (path) => (parts.index.live(path) === null ? null : parts.held.readCurrent(path)),
      holds: (path, state) => this.#holds(path, state),
    });
  }

  /** @throws CodedError PROTOCOL_VIOLATION for what no sealed folder has */
  need(record: FileRecord): 'nothing' | 'held' | 'fetch' {
    const { name, state } = readSealedRecord(record);
    if (state === null) return 'nothing';
    const isTaken = name.kind !== 'pack' && this.parts.versions.get(name.number, name.epoch) !== null;
    if (isTaken && !this.#damage.isToMend(record.path, state)) return 'nothing';
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
    return [...this.#agentKeys.copies(hash), ...this.parts.held.copies(hash)];
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
      const records = batch.records.map(readSealedRecord);
      this.#noteDeletions(records);
      const { begin, taken } = await this.#takeVersions(batch, records);
      const { accepted } = taken;
      const halves = taken.halves.flatMap(({ record, state }) =>
        state === null ? [] : [setEntry(record, state, begin, begin.at)],
      );
      const entries = [...this.#packEntries(records, begin), ...halves];
      const contents = entries.filter(({ path, holding }) => !this.#holds(path, holding.state));
      const claimed = await this.claimContents(contents, async (hash) => this.stageHeld(hash));
      await this.parts.writer.write(begin, entries, contents, () => this.parts.versions.add(accepted));
      this.parts.staging.committed(claimed);
      this.#noteArrivals(entries, accepted, batch.missing);
      for (const one of taken.refused) this.parts.onRefused(one);
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
    return this.parts.lacking.all().map((hash) => Buffer.from(hash, 'hex'));
  }

  /** Says that a pack turned out to be damaged or lost: it is reported, and taken when it comes again. */
  reportDamaged(hash: Buffer): void {
    this.#damage.reportPack(hash);
  }

  /** All held versions, in the order in which they were received. */
  listVersions(): SealedVersion[] {
    const incomplete = this.parts.lacking.incomplete();
    return this.parts.versions
      .list()
      .map((version) => Object.assign(version, { complete: !incomplete.has(versionKey(version)) }));
  }

  /** Complete when exactly that version is held with all packs that it needs. */
  provePart(part: PointPart): PartProof {
    if (part.kind !== 'sealed') return { state: 'unknown', bytes: null };
    const version = this.parts.versions.get(part.number, part.epoch);
    if (version?.hash.toString('hex') !== part.record)
      return { state: 'incomplete', files: 1, paths: [], bytes: null };
    const { bytes } = version;
    if (this.parts.lacking.incomplete().has(versionKey(version)))
      return { state: 'incomplete', files: 1, paths: [], bytes };
    return { state: 'complete', bytes };
  }

  /** Who can read the newest version, and when that changed. */
  recipients(): RecipientHistory {
    return recipientHistory(this.parts.versions.list());
  }

  /** @see packArrivals */
  packArrivals(window: { until: number; windowMs: number }): PackArrivals {
    return packArrivals(this.parts.index.database, window);
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
   * page; first of all the public keys of its signers (`agent.pem`). Their `mtimeNs` is when they were received: no clock but
   * the receiver's own orders versions.
   */
  entriesAt(query: { at: number | null; after: RelativePath | null; limit: number }): {
    entries: { path: RelativePath; state: LiveState }[];
    next: RelativePath | null;
  } {
    const { at, after, limit } = query;
    const keys = this.#agentKeys.entries().filter(({ path }) => after === null || path > after);
    if (keys.length >= limit) {
      const first = keys.slice(0, limit);
      return { entries: first, next: first.at(-1)?.path ?? null };
    }
    const rows = this.parts.index.liveAfter(after, limit - keys.length);
    const entries = rows
      .filter(({ path, holding }) => (at === null || holding.receivedAt <= at) && !this.#isLacking(path))
      .map(({ path, holding }) => ({ path, state: asReceived(holding) }));
    const next = rows.length < limit - keys.length ? null : (rows.at(-1)?.path ?? null);
    return { entries: [...keys, ...entries], next };
  }

  /** Removes what the rules let go, by `SealedExpiry`. Nothing as long as a signer's key is not known: which packs versions need is not known then. */
  async expire(
    nowMs: number,
    kept: KeptHistory,
    isStopped: () => boolean = () => false,
  ): Promise<{ versions: number; packs: number; bytes: number }> {
    if (this.parts.signers().length === 0) return { versions: 0, packs: 0, bytes: 0 };
    return this.#expiry.run(nowMs, kept, isStopped);
  }

  /** What `forget` would remove. */
  forgettable(_nowMs: number, forgotten: readonly PointPart[], kept: KeptHistory): ForgottenHistory {
    this.assertUsable();
    return this.#forgetting.count(forgotten, kept);
  }

  /** Removes what only forgotten points named, by `SealedForgetting`. Nothing as long as a signer's key is not known. */
  async forget(
    _nowMs: number,
    forgotten: readonly PointPart[],
    kept: KeptHistory,
  ): Promise<ForgottenHistory> {
    if (this.parts.signers().length === 0) return { versions: 0, bytes: 0 };
    return this.#forgetting.remove(forgotten, kept);
  }

  /** Packs that go are reported as missing, so that the agent does not refer to them. */
  async #remove(rows: readonly LiveRow[], onRemoved: () => void = () => {}): Promise<void> {
    const meta = this.meta();
    const begin = nextBegin(meta, this.parts.now(), null);
    const changes = rows.flatMap(({ path, holding }, at): ChangeEntry[] => {
      const id = meta.nextVersionId + at;
      return [
        { type: 'remove', path, replaced: { id, name: null, holding, ended: 0n } },
        { type: 'expire', path, id, name: null },
      ];
    });
    const packs = rows.flatMap(({ path }) => {
      const name = parseSealedObjectName(path);
      return name?.kind === 'pack' ? [name.hash] : [];
    });
    await this.parts.writer.write(
      { ...begin, nextVersionId: meta.nextVersionId + rows.length },
      changes,
      [],
      () => {
        onRemoved();
        this.parts.versions.addExpired(packs);
      },
    );
    for (const hash of packs) this.parts.lacking.noteUnneeded(hash.toString('hex'));
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

  /** A waiting half that another one takes the place of is removed first: nothing of it may stay beside what is counted. */
  async #takeVersions(
    batch: CommitBatch,
    records: readonly SealedRecord[],
  ): Promise<{ begin: BeginEntry; taken: TakenVersions }> {
    const position = { indexId: batch.indexId, sequence: batch.through, token: batch.token };
    const begin = nextBegin(this.meta(), this.parts.now(), position);
    const taken = this.#intake.take(records, begin.at);
    const superseded = taken.halves.flatMap(({ record, state }) => {
      const row = this.parts.index.live(record.path);
      return row === null || state === null || sameContent(row.holding.state, state) ? [] : [row];
    });
    if (superseded.length === 0) return { begin, taken };
    await this.#remove(superseded);
    const later = nextBegin(this.meta(), this.parts.now(), position);
    return { begin: later, taken: this.#intake.take(records, later.at) };
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
    missing: readonly FileRecord[],
  ): void {
    const { index, lacking, logger } = this.parts;
    for (const { holding } of entries) lacking.noteArrival(hashOf(holding.state).toString('hex'));
    for (const { path } of missing) {
      const name = parseSealedObjectName(path);
      if (name?.kind === 'pack' && index.live(path) === null) lacking.noteUnneeded(name.hash.toString('hex'));
    }
    for (const { record, version } of accepted) {
      const absent = record.packs.filter(
        ([hash]) => lacking.has(hash) || index.live(packPath(hash)) === null,
      );
      for (const [hash] of absent) lacking.noteNeeded(hash, versionKey(version));
      if (absent.length === 0) continue;
      const { number, epoch } = version;
      logger.warn({ number, epoch, packs: absent.length }, 'a version came without all of its packs');
    }
  }

  /** Whether exactly this is at the path, and nothing is known to be wrong with it. */
  #holds(path: RelativePath, state: LiveState): boolean {
    const { index } = this.parts;
    const row = index.live(path);
    if (row === null || !sameContent(row.holding.state, state)) return false;
    return !this.#isLacking(path) && index.damage.get(path, null) === null;
  }

  #isLacking(path: RelativePath): boolean {
    const name = parseSealedObjectName(path);
    return name?.kind === 'pack' && this.parts.lacking.has(name.hash.toString('hex'));
  }
}
