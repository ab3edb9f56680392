import { randomBytes } from 'node:crypto';
import type Database from 'better-sqlite3';
import { generateChunkSecret } from '../../shared/sealing/chunk-id.ts';
import { Announcements } from './announcements.ts';
import { CachedStatements } from './cached-statements.ts';
import { ChunkIndex } from './chunk-index.ts';
import { Confirmations } from './confirmations.ts';
import type { NewObject } from './sealed-object.ts';
import { SealedObjects } from './sealed-objects.ts';

export type FolderRow = {
  id: number;
  index_id: Buffer;
  sequence: number;
  token: Buffer;
  chunking: string | null;
  known_since: number;
  last_started_at: number | null;
  last_duration_ms: number | null;
  last_fingerprint: string | null;
  /** JSON of the last run's failure; null when it made a version. */
  failure: string | null;
  /** JSON of what the latest version lacks because it could not be read; null before the first. */
  unreadable: string | null;
};

/** Files of the source that could not be read; the first of them with the reason, for people. */
export type Unreadable = { count: number; paths: string[] };

export type EpochRow = { id: number; name: string; secret: Buffer; recipients: string };

export type VersionRow = {
  epoch: number;
  number: number;
  record_hash: string;
  sequence: number;
  created_at: number;
  plain_bytes: number;
  new_bytes: number;
  sealed_bytes: number;
  manifest_packs: string;
};

/** What seal.db knows of one folder. Every writing call is one transaction, durable when it returns. */
export class SealIndex {
  readonly chunks: ChunkIndex;
  readonly objects: SealedObjects;
  readonly confirmations: Confirmations;
  readonly announcements: Announcements;
  readonly folderId: number;
  readonly #sql: CachedStatements;

  /** Makes the folder's row where there is none. */
  constructor(database: Database.Database, folderName: string, nowMs: number) {
    const sql = new CachedStatements(database);
    this.#sql = sql;
    sql.run(
      'INSERT OR IGNORE INTO folders (name, index_id, token, known_since) VALUES (?, ?, ?, ?)',
      folderName,
      randomBytes(8),
      randomBytes(32),
      nowMs,
    );
    const row = sql.get<{ id: number }>('SELECT id FROM folders WHERE name = ?', folderName);
    this.folderId = (row as { id: number }).id;
    const announcements = new Announcements(sql, this.folderId);
    const confirmations = new Confirmations(sql, announcements, this.folderId);
    this.announcements = announcements;
    this.confirmations = confirmations;
    this.chunks = new ChunkIndex(sql);
    this.objects = new SealedObjects(
      { sql, chunks: this.chunks, announcements, confirmations },
      this.folderId,
    );
  }

  folder(): FolderRow {
    return this.#sql.get<FolderRow>('SELECT * FROM folders WHERE id = ?', this.folderId) as FolderRow;
  }

  setChunking(name: string): void {
    this.#sql.run('UPDATE folders SET chunking = ? WHERE id = ?', name, this.folderId);
  }

  noteStart(nowMs: number): void {
    this.#sql.run(
      'UPDATE folders SET last_started_at = ?, last_duration_ms = NULL WHERE id = ?',
      nowMs,
      this.folderId,
    );
  }

  noteEnd(durationMs: number, failure: string | null, fingerprint: string | null): void {
    this.#sql.run(
      `UPDATE folders SET last_duration_ms = ?, failure = ?,
       last_fingerprint = CASE WHEN ? IS NULL THEN ? ELSE last_fingerprint END WHERE id = ?`,
      durationMs,
      failure,
      failure,
      fingerprint,
      this.folderId,
    );
  }

  noteUnreadable(unreadable: Unreadable): void {
    this.#sql.run(
      'UPDATE folders SET unreadable = ? WHERE id = ?',
      JSON.stringify(unreadable),
      this.folderId,
    );
  }

  /** What the latest version lacks. */
  unreadable(): Unreadable {
    const { unreadable } = this.folder();
    return unreadable === null ? { count: 0, paths: [] } : (JSON.parse(unreadable) as Unreadable);
  }

  epoch(): EpochRow | null {
    return this.#sql.get<EpochRow>(
      'SELECT * FROM epochs WHERE folder = ? ORDER BY id DESC LIMIT 1',
      this.folderId,
    );
  }

  /** @throws Error when there is no such epoch, which no version names */
  epochName(id: number): string {
    const row = this.#sql.get<{ name: string }>('SELECT name FROM epochs WHERE id = ?', id);
    if (row === null) throw new Error(`epoch ${id} is not in the database`);
    return row.name;
  }

  /** Nothing sealed before is referred to again. */
  startEpoch(recipients: string, nowMs: number): EpochRow {
    return this.#sql.transaction(() => {
      this.#sql.run(
        'INSERT INTO epochs (folder, name, secret, recipients, created_at) VALUES (?, ?, ?, ?, ?)',
        this.folderId,
        randomBytes(8).toString('hex'),
        generateChunkSecret(),
        recipients,
        nowMs,
      );
      this.objects.disown();
      return this.epoch() as EpochRow;
    });
  }

  lastVersion(): VersionRow | null {
    return this.#sql.get<VersionRow>(
      'SELECT * FROM versions WHERE folder = ? ORDER BY id DESC LIMIT 1',
      this.folderId,
    );
  }

  /** A sealed pack with its chunks (entries of chunk-entry.ts), announced by a checkpoint of its own. */
  addPack(epoch: number, pack: NewObject, chunks: Buffer, nowMs: number): void {
    this.#sql.transaction(() => {
      this.chunks.add(this.objects.add(epoch, pack, nowMs, true), chunks);
    });
  }

  /** A root message. */
  addRoot(epoch: number, root: NewObject, nowMs: number): void {
    this.#sql.transaction(() => this.objects.add(epoch, root, nowMs, true));
  }

  /**
   * A version: its signature and record are announced by one checkpoint; from here on the packs in `used` (plaintext
   * bytes that it refers to, by pack) count as used and no others. Gives the sequence of its record.
   */
  addVersion(
    epoch: number,
    objects: { signature: NewObject; record: NewObject; rootHash: Buffer },
    version: Omit<VersionRow, 'epoch' | 'sequence' | 'record_hash'>,
    used: ReadonlyMap<number, number>,
    nowMs: number,
  ): number {
    return this.#sql.transaction(() => {
      this.objects.add(epoch, objects.signature, nowMs, false);
      this.objects.add(epoch, objects.record, nowMs, true);
      const { sequence } = this.announcements.position();
      this.#sql.run("UPDATE versions SET manifest_packs = '' WHERE folder = ?", this.folderId);
      this.#sql.run(
        `INSERT INTO versions (folder, epoch, number, record_hash, sequence, created_at, plain_bytes, new_bytes, sealed_bytes, manifest_packs)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        this.folderId,
        epoch,
        version.number,
        objects.record.hash.toString('hex'),
        sequence,
        version.created_at,
        version.plain_bytes,
        version.new_bytes,
        version.sealed_bytes,
        version.manifest_packs,
      );
      this.objects.setUsed(used, objects.rootHash, sequence);
      return sequence;
    });
  }

  /** A new index in which no receiver has acknowledged anything. */
  renewIndex(): void {
    this.#sql.transaction(() => {
      this.announcements.renew();
      this.confirmations.restart();
    });
  }
}
