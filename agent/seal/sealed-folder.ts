import fs from 'node:fs';
import path from 'node:path';
import type Database from 'better-sqlite3';
import type { DeviceIdentity } from '../../shared/identity/device-identity.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { Source } from '../source/source.ts';
import { describeRecipients, Dumper, type DumpResult } from './dumper.ts';
import { isKnown } from './known-packs.ts';
import { SealIndex } from './seal-index.ts';
import type { SealTo } from './seal-message.ts';
import { SealedFeed } from './sealed-feed.ts';
import { Spool } from './spool.ts';
import type { SpoolBound } from './spool-bound.ts';
import { SpoolKeeper } from './spool-keeper.ts';

export type SealedFolderDeps = {
  database: Database.Database;
  databaseFile: string;
  source: Source;
  /** Of all sealed folders together. */
  bound: SpoolBound;
  identity: DeviceIdentity;
  /** @throws CodedError KEY_INVALID, KEY_UNUSABLE */
  sealTo: () => Promise<SealTo>;
  logger: Logger;
  now: () => number;
};

export type SealedFolderOptions = {
  folder: string;
  /** The folder's part of the spool. */
  spoolDirectory: string;
  packBytesMax?: number;
};

/** One sealed folder: its source, what it gave out, and what receivers hold of it. */
export class SealedFolder {
  readonly feed: SealedFeed;
  readonly index: SealIndex;
  readonly keeper: SpoolKeeper;
  readonly #deps: SealedFolderDeps;
  readonly #dumper: Dumper;

  constructor(deps: SealedFolderDeps, options: SealedFolderOptions) {
    this.#deps = deps;
    const { folder, spoolDirectory, packBytesMax } = options;
    fs.mkdirSync(path.dirname(spoolDirectory), { recursive: true, mode: 0o700 });
    const spool = new Spool(spoolDirectory);
    this.index = new SealIndex(deps.database, folder, deps.now());
    const onChange = (): void => this.feed.notify();
    this.keeper = new SpoolKeeper({ index: this.index, spool, now: deps.now, onChange });
    deps.bound.add(this.keeper);
    this.feed = new SealedFeed(
      { index: this.index, keeper: this.keeper, spoolDirectory, onRenewed: () => this.#renew() },
      folder,
    );
    const { index, keeper } = this;
    this.#dumper = new Dumper(
      { ...deps, index, keeper, spool, onAdded: onChange },
      { folder, ...(packBytesMax === undefined ? {} : { packBytesMax }) },
    );
  }

  /**
   * Makes a version, and notes how the run went; one that the signal ended stays noted as interrupted. Never call it
   * twice at a time.
   * @throws CodedError what `Dumper.dump` throws
   */
  async dump(signal: AbortSignal, onFirstOutput?: () => void): Promise<DumpResult> {
    const result = await this.#run(signal, false, onFirstOutput);
    if (result === null) throw new Error('an unconditional dump made no version');
    return result;
  }

  /**
   * The same where the latest version does not serve any more: the source may have changed, the recipients have, or an
   * active receiver lacks a part of it. null where it does.
   * @throws CodedError what `Dumper.dump` throws
   */
  async dumpIfNeeded(signal: AbortSignal, onFirstOutput?: () => void): Promise<DumpResult | null> {
    return this.#run(signal, true, onFirstOutput);
  }

  async #run(
    signal: AbortSignal,
    onlyIfNeeded: boolean,
    onFirstOutput?: () => void,
  ): Promise<DumpResult | null> {
    const { now, source } = this.#deps;
    const startedAt = now();
    this.index.noteStart(startedAt);
    try {
      // taken before the content is read: what changes meanwhile is found by the next run
      const fingerprint = await source.fingerprint();
      if (onlyIfNeeded && (await this.#serves(fingerprint))) {
        this.index.noteEnd(0, null, fingerprint);
        return null;
      }
      const result = await this.#dumper.dump(signal, onFirstOutput);
      this.index.noteUnreadable(result.unreadable);
      this.index.noteEnd(result.durationMs, null, fingerprint);
      return result;
    } catch (error) {
      if (this.#deps.database.open && !signal.aborted) {
        const failure = { message: error instanceof Error ? error.message : String(error), at: now() };
        this.index.noteEnd(now() - startedAt, JSON.stringify(failure), null);
      }
      throw error;
    }
  }

  /** Whether the latest version holds what the source holds, for these recipients, for every active receiver. */
  async #serves(fingerprint: string | null): Promise<boolean> {
    const { index, keeper } = this;
    const [epoch, version] = [index.epoch(), index.lastVersion()];
    if (fingerprint === null || fingerprint !== index.folder().last_fingerprint) return false;
    if (epoch === null || version === null || version.epoch !== epoch.id) return false;
    if (epoch.recipients !== describeRecipients(await this.#deps.sealTo())) return false;
    const active = keeper.active();
    const used = index.objects.packs(epoch.id).filter(({ usedBytes }) => usedBytes > 0);
    return used.every((pack) => isKnown(pack, active, this.#deps.now()));
  }

  /** Whether the receiver has acknowledged everything up to there and lacks no pack that the latest version uses. */
  holds(receiverId: string, sequence: number): boolean {
    const durable = this.keeper.durableSequence(receiverId);
    return durable >= sequence && !this.index.confirmations.lacksUsed(receiverId, durable);
  }

  /** Writes down what receivers reported. */
  close(): void {
    this.#deps.bound.remove(this.keeper);
    this.keeper.close();
  }

  /** The database was rolled back: nothing sealed before is referred to again. */
  #renew(): void {
    this.index.renewIndex();
    const recipients = this.index.epoch()?.recipients;
    if (recipients !== undefined) this.index.startEpoch(recipients, this.#deps.now());
    this.keeper.restart();
  }
}
