import { createHash, randomBytes } from 'node:crypto';
import type Database from 'better-sqlite3';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import { generateChunkSecret } from '../../shared/sealing/chunk-id.ts';
import { packName } from '../../shared/sealing/object-name.ts';
import type { PackFacts, ReceiverFacts } from './known-packs.ts';
import { objectColumns, type SealedObject, type SealedObjectKind } from './sealed-object.ts';
import type { SpooledObject } from './spool-policy.ts';

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
};

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

/** An object that is in the spool and becomes known with the commit. `id`: null where nothing refers to it by number. */
export type NewObject = {
  id: number | null;
  kind: SealedObjectKind;
  name: string;
  hash: Buffer;
  bytes: number;
  plainBytes: number;
  chunkList: Buffer | null;
};

/** Where chunks lie in a pack: 16 bytes of id, 4 of offset, 4 of length (big-endian) each. */
export const chunkEntryBytes = 24;

/** What seal.db knows of one folder. Every writing call is one transaction, durable when it returns. */
export class SealIndex {
  readonly database: Database.Database;
  readonly folderId: number;
  readonly #statements = new Map<string, Database.Statement>();

  /** Makes the folder's row where there is none. */
  constructor(database: Database.Database, folderName: string, nowMs: number) {
    this.database = database;
    this.#run(
      'INSERT OR IGNORE INTO folders (name, index_id, token, known_since) VALUES (?, ?, ?, ?)',
      folderName,
      randomBytes(8),
      randomBytes(32),
      nowMs,
    );
    this.folderId = (
      this.#get<{ id: number }>('SELECT id FROM folders WHERE name = ?', folderName) as { id: number }
    ).id;
  }

  folder(): FolderRow {
    return this.#get<FolderRow>('SELECT * FROM folders WHERE id = ?', this.folderId) as FolderRow;
  }

  setChunking(name: string): void {
    this.#run('UPDATE folders SET chunking = ? WHERE id = ?', name, this.folderId);
  }

  noteStart(nowMs: number): void {
    this.#run(
      'UPDATE folders SET last_started_at = ?, last_duration_ms = NULL WHERE id = ?',
      nowMs,
      this.folderId,
    );
  }

  noteEnd(durationMs: number, failure: string | null, fingerprint: string | null): void {
    this.#run(
      `UPDATE folders SET last_duration_ms = ?, failure = ?,
       last_fingerprint = CASE WHEN ? IS NULL THEN ? ELSE last_fingerprint END WHERE id = ?`,
      durationMs,
      failure,
      failure,
      fingerprint,
      this.folderId,
    );
  }

  epoch(): EpochRow | null {
    return (
      this.#get<EpochRow>('SELECT * FROM epochs WHERE folder = ? ORDER BY id DESC LIMIT 1', this.folderId) ??
      null
    );
  }

  /** Nothing sealed before is referred to again. */
  startEpoch(recipients: string, nowMs: number): EpochRow {
    this.database.transaction(() => {
      this.#run(
        'INSERT INTO epochs (folder, name, secret, recipients, created_at) VALUES (?, ?, ?, ?, ?)',
        this.folderId,
        randomBytes(8).toString('hex'),
        generateChunkSecret(),
        recipients,
        nowMs,
      );
      this.#run('DELETE FROM chunks WHERE pack IN (SELECT id FROM objects WHERE folder = ?)', this.folderId);
      this.#run('UPDATE objects SET used_bytes = 0 WHERE folder = ?', this.folderId);
      this.#run('DELETE FROM objects WHERE folder = ? AND in_spool = 0', this.folderId);
    })();
    return this.epoch() as EpochRow;
  }

  lastVersion(): VersionRow | null {
    return (
      this.#get<VersionRow>(
        'SELECT * FROM versions WHERE folder = ? ORDER BY id DESC LIMIT 1',
        this.folderId,
      ) ?? null
    );
  }

  nextObjectId(): number {
    return (this.#get<{ id: number | null }>('SELECT max(id) AS id FROM objects')?.id ?? 0) + 1;
  }

  /** A sealed pack with its chunks, announced by a checkpoint of its own. */
  addPack(epoch: number, pack: NewObject, chunks: Buffer, nowMs: number): void {
    this.database.transaction(() => {
      const id = this.#addObject(epoch, pack, nowMs, true);
      const insert = this.#statement(
        'INSERT OR REPLACE INTO chunks (id, pack, offset, length) VALUES (?, ?, ?, ?)',
      );
      for (let at = 0; at < chunks.length; at += chunkEntryBytes) {
        insert.run(
          chunks.subarray(at, at + 16),
          id,
          chunks.readUInt32BE(at + 16),
          chunks.readUInt32BE(at + 20),
        );
      }
    })();
  }

  /** A root message. */
  addRoot(epoch: number, root: NewObject, nowMs: number): void {
    this.database.transaction(() => void this.#addObject(epoch, root, nowMs, true))();
  }

  /**
   * A version: its signature and record are announced by one checkpoint; from here on the packs in `used` (plaintext
   * bytes that it refers to, by pack) count as used and no others.
   */
  addVersion(
    epoch: number,
    objects: { signature: NewObject; record: NewObject },
    version: Omit<VersionRow, 'epoch' | 'sequence' | 'record_hash'>,
    used: ReadonlyMap<number, number>,
    nowMs: number,
  ): number {
    return this.database.transaction(() => {
      this.#addObject(epoch, objects.signature, nowMs, false);
      this.#addObject(epoch, objects.record, nowMs, true);
      const { sequence } = this.folder();
      this.#run("UPDATE versions SET manifest_packs = '' WHERE folder = ?", this.folderId);
      this.#run(
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
      this.#run('UPDATE objects SET used_bytes = 0 WHERE folder = ? AND used_bytes > 0', this.folderId);
      const use = this.#statement('UPDATE objects SET used_bytes = ? WHERE id = ?');
      for (const [id, bytes] of used) use.run(bytes, id);
      this.#run(
        `DELETE FROM chunks WHERE pack IN (SELECT id FROM objects WHERE folder = ? AND kind = 'pack' AND used_bytes = 0)`,
        this.folderId,
      );
      this.#dropUnneeded();
      return sequence;
    })();
  }

  /** Packs of the current epoch. */
  packs(epoch: number): PackFacts[] {
    const lacking = this.#lacking();
    return this.#all<SealedObject>(
      `SELECT ${objectColumns} WHERE folder = ? AND epoch = ? AND kind = 'pack' ORDER BY id`,
      this.folderId,
      epoch,
    ).map((row) => ({
      id: row.id,
      plainBytes: row.plain_bytes,
      usedBytes: row.used_bytes,
      createdAt: row.created_at,
      inSpool: row.in_spool === 1,
      sequence: row.sequence,
      lackedBy: lacking.get(row.id) ?? nobody,
    }));
  }

  /** Whether the latest version refers to that pack. */
  usesPack(hash: Buffer): boolean {
    const row = this.#get<{ used_bytes: number }>(
      'SELECT used_bytes FROM objects WHERE folder = ? AND name = ?',
      this.folderId,
      packName(hash),
    );
    return (row?.used_bytes ?? 0) > 0;
  }

  /** Whether the receiver, which acknowledged `durableSequence`, lacks a pack that the latest version uses. */
  lacksUsed(receiverId: string, durableSequence: number): boolean {
    const row = this.#get<{ count: number }>(
      `SELECT count(*) AS count FROM objects WHERE folder = ? AND used_bytes > 0
       AND (sequence > ? OR EXISTS (SELECT 1 FROM lacking WHERE object = objects.id AND receiver = ?))`,
      this.folderId,
      durableSequence,
      receiverId,
    );
    return (row?.count ?? 0) > 0;
  }

  /** The packs that the latest version uses, and their sealed sizes together. */
  usedTotals(): { packs: number; bytes: number } {
    return this.#get<{ packs: number; bytes: number }>(
      'SELECT count(*) AS packs, coalesce(sum(bytes), 0) AS bytes FROM objects WHERE folder = ? AND used_bytes > 0',
      this.folderId,
    ) as { packs: number; bytes: number };
  }

  object(id: number): SealedObject | null {
    return this.#get<SealedObject>(`SELECT ${objectColumns} WHERE id = ?`, id) ?? null;
  }

  spooled(): (SealedObject & SpooledObject)[] {
    const lacking = this.#lacking();
    return this.#all<SealedObject>(
      `SELECT ${objectColumns} WHERE folder = ? AND in_spool = 1 ORDER BY sequence`,
      this.folderId,
    ).map((row) => Object.assign(row, { lackedBy: lacking.get(row.id) ?? nobody }));
  }

  spooledAfter(sequence: number, limit: number): SealedObject[] {
    return this.#all<SealedObject>(
      `SELECT ${objectColumns} WHERE folder = ? AND in_spool = 1 AND sequence > ? ORDER BY sequence LIMIT ?`,
      this.folderId,
      sequence,
      limit,
    );
  }

  spooledNamed(name: string): SealedObject | null {
    return (
      this.#get<SealedObject>(
        `SELECT ${objectColumns} WHERE folder = ? AND name = ? AND in_spool = 1`,
        this.folderId,
        name,
      ) ?? null
    );
  }

  pendingAfter(sequence: number): { files: number; bytes: number } {
    return this.#get<{ files: number; bytes: number }>(
      'SELECT count(*) AS files, coalesce(sum(bytes), 0) AS bytes FROM objects WHERE folder = ? AND in_spool = 1 AND sequence > ?',
      this.folderId,
      sequence,
    ) as { files: number; bytes: number };
  }

  chunkList(hash: Buffer): Buffer | null {
    const row = this.#get<{ chunk_list: Buffer | null }>(
      'SELECT chunk_list FROM objects WHERE folder = ? AND hash = ? AND in_spool = 1',
      this.folderId,
      hash,
    );
    return row?.chunk_list ?? null;
  }

  token(sequence: number): Buffer | null {
    const row = this.#get<{ token: Buffer }>(
      'SELECT token FROM checkpoints WHERE folder = ? AND sequence = ?',
      this.folderId,
      sequence,
    );
    return row?.token ?? null;
  }

  /** Out of the spool for good; a receiver that has not acknowledged one of them lacks it from here on. */
  leaveSpool(ids: readonly number[], receivers: readonly ReceiverFacts[]): void {
    this.database.transaction(() => {
      const lack = this.#statement('INSERT OR IGNORE INTO lacking (object, receiver) VALUES (?, ?)');
      for (const id of ids) {
        const object = this.object(id);
        if (object === null) continue;
        for (const { receiverId, durableSequence } of receivers) {
          if (object.sequence > durableSequence) lack.run(id, receiverId);
        }
        this.#run('UPDATE objects SET in_spool = 0, chunk_list = NULL WHERE id = ?', id);
      }
      this.#dropUnneeded();
    })();
  }

  /** The receiver begins at `sequence`: what left the spool later than that never reached it. */
  noteBeginning(receiverId: string, sequence: number): void {
    this.#run(
      `INSERT OR IGNORE INTO lacking (object, receiver)
       SELECT id, ? FROM objects WHERE folder = ? AND in_spool = 0 AND sequence > ?`,
      receiverId,
      this.folderId,
      sequence,
    );
  }

  /**
   * The receiver, which acknowledged `durableSequence`, does not hold these objects. Those in the spool are announced
   * again; true where any was.
   */
  noteLacking(receiverId: string, durableSequence: number, hashes: readonly Buffer[]): boolean {
    return this.database.transaction(() => {
      let announced = false;
      for (const hash of hashes) {
        const object = this.#get<SealedObject>(
          `SELECT ${objectColumns} WHERE folder = ? AND hash = ?`,
          this.folderId,
          hash,
        );
        if (object === undefined) continue;
        // what lies ahead of it comes anyway
        if (object.in_spool === 1 && object.sequence > durableSequence) continue;
        if (object.in_spool === 1) {
          announced = true;
          const sequence = this.#takeSequence(object.name, hash, true);
          this.#run('UPDATE objects SET replaces = sequence, sequence = ? WHERE id = ?', sequence, object.id);
          this.#run('DELETE FROM lacking WHERE object = ? AND receiver = ?', object.id, receiverId);
        } else {
          this.#run('INSERT OR IGNORE INTO lacking (object, receiver) VALUES (?, ?)', object.id, receiverId);
        }
      }
      return announced;
    })();
  }

  receivers(): ReceiverFacts[] {
    type Row = { receiver: string; sequence: number; last_seen_at: number; passed_over: 0 | 1 };
    return this.#all<Row>('SELECT * FROM receivers WHERE folder = ?', this.folderId).map((row) => ({
      receiverId: row.receiver,
      durableSequence: row.sequence,
      lastSeenAt: row.last_seen_at,
      passedOver: row.passed_over === 1,
    }));
  }

  saveReceivers(receivers: Iterable<ReceiverFacts>): void {
    this.database.transaction(() => {
      for (const { receiverId, durableSequence, lastSeenAt, passedOver } of receivers) {
        this.#run(
          'INSERT OR REPLACE INTO receivers (folder, receiver, sequence, last_seen_at, passed_over) VALUES (?, ?, ?, ?, ?)',
          this.folderId,
          receiverId,
          durableSequence,
          lastSeenAt,
          passedOver ? 1 : 0,
        );
      }
    })();
  }

  forgetReceiver(receiverId: string): void {
    this.database.transaction(() => {
      this.#run('DELETE FROM receivers WHERE folder = ? AND receiver = ?', this.folderId, receiverId);
      this.#run(
        'DELETE FROM lacking WHERE receiver = ? AND object IN (SELECT id FROM objects WHERE folder = ?)',
        receiverId,
        this.folderId,
      );
    })();
  }

  /** A new index in which no receiver has acknowledged anything. Sequences go on rising. */
  renewIndex(): void {
    this.database.transaction(() => {
      this.#run('UPDATE folders SET index_id = ? WHERE id = ?', randomBytes(8), this.folderId);
      this.#run('UPDATE receivers SET sequence = 0 WHERE folder = ?', this.folderId);
    })();
  }

  position(): FeedPosition {
    const { index_id: indexId, sequence, token } = this.folder();
    return { indexId, sequence, token };
  }

  #addObject(epoch: number, object: NewObject, nowMs: number, checkpoint: boolean): number {
    const sequence = this.#takeSequence(object.name, object.hash, checkpoint);
    const { lastInsertRowid } = this.#run(
      `INSERT INTO objects (id, folder, epoch, kind, name, hash, bytes, plain_bytes, sequence, created_at, in_spool, chunk_list)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)`,
      object.id,
      this.folderId,
      epoch,
      object.kind,
      object.name,
      object.hash,
      object.bytes,
      object.plainBytes,
      sequence,
      nowMs,
      object.chunkList,
    );
    return Number(lastInsertRowid);
  }

  /** The next sequence; the token chains over every name and hash that was announced. */
  #takeSequence(name: string, hash: Buffer, checkpoint: boolean): number {
    const folder = this.folder();
    const sequence = folder.sequence + 1;
    const token = createHash('sha256')
      .update(folder.token)
      .update(`${sequence} ${name}\0`)
      .update(hash)
      .digest();
    this.#run('UPDATE folders SET sequence = ?, token = ? WHERE id = ?', sequence, token, this.folderId);
    if (checkpoint) {
      this.#run(
        'INSERT INTO checkpoints (folder, sequence, token) VALUES (?, ?, ?)',
        this.folderId,
        sequence,
        token,
      );
    }
    return sequence;
  }

  /** Objects that are neither in the spool nor of use to a later version. */
  #dropUnneeded(): void {
    const latest = this.lastVersion()?.sequence ?? 0;
    this.#run(
      `DELETE FROM chunks WHERE pack IN (SELECT id FROM objects
       WHERE folder = ? AND in_spool = 0 AND used_bytes = 0 AND (kind <> 'pack' OR sequence < ?))`,
      this.folderId,
      latest,
    );
    this.#run(
      `DELETE FROM objects WHERE folder = ? AND in_spool = 0 AND used_bytes = 0 AND (kind <> 'pack' OR sequence < ?)`,
      this.folderId,
      latest,
    );
  }

  #lacking(): Map<number, Set<string>> {
    const sets = new Map<number, Set<string>>();
    const rows = this.#all<{ object: number; receiver: string }>(
      'SELECT object, receiver FROM lacking JOIN objects ON objects.id = lacking.object WHERE folder = ?',
      this.folderId,
    );
    for (const { object, receiver } of rows) {
      const set = sets.get(object) ?? new Set();
      set.add(receiver);
      sets.set(object, set);
    }
    return sets;
  }

  #statement(sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, ...parameters: unknown[]): Database.RunResult {
    return this.#statement(sql).run(...parameters);
  }

  #get<Row>(sql: string, ...parameters: unknown[]): Row | undefined {
    return this.#statement(sql).get(...parameters) as Row | undefined;
  }

  #all<Row>(sql: string, ...parameters: unknown[]): Row[] {
    return this.#statement(sql).all(...parameters) as Row[];
  }
}

const nobody: ReadonlySet<string> = new Set();
