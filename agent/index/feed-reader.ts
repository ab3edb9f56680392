import type Database from 'better-sqlite3';
import type { ChunkList } from '../../shared/chunking/chunk-list.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import { parseRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';
import { decodeChunkList } from './chunk-list-blob.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { RecordBatch } from './folder-feed.ts';
import { checkpointRecordsMax, decodeLive } from './folder-index.ts';
import { kindNumber, pathKey } from './index-row.ts';
import { liveColumns, type LiveRow } from './index-statements.ts';

type FolderRow = {
  id: number;
  index_id: Buffer;
  next_sequence: number;
  complete_through: number | null;
  files: number;
  bytes: number;
  last_scan_at: number | null;
};
type Tombstone = { path: Buffer; sequence: number; replaces: number | null };

/** Reads one folder's index on a read-only connection; every call is one short transaction. */
export class FeedReader {
  private readonly database: Database.Database;
  private readonly folderName: string;
  private readonly statements: ReturnType<typeof prepareReads>;

  constructor(database: Database.Database, folderId: string) {
    this.database = database;
    this.folderName = folderId;
    this.statements = prepareReads(database);
  }

  /** The folder's row; the caller made sure that there is one. */
  folder(): FolderRow {
    const row = this.statements.folder.get(this.folderName);
    if (row === undefined) throw new Error(`folder ${this.folderName} is not in the index`);
    return row;
  }

  batchAfter(sequence: number, limit = checkpointRecordsMax): RecordBatch | null {
    return this.database.transaction(() => this.readBatch(sequence, Math.max(1, limit)))();
  }

  matches(position: FeedPosition): boolean {
    return this.database.transaction(() => {
      const folder = this.folder();
      if (!folder.index_id.equals(position.indexId)) return false;
      if (position.sequence === 0) return true;
      const token = this.statements.token.get(folder.id, position.sequence)?.token;
      return token?.equals(position.token) ?? false;
    })();
  }

  chunkList(hash: Buffer): ChunkList | null {
    const row = this.statements.chunks.get(hash);
    return row === undefined ? null : decodeChunkList(row.chunks);
  }

  acknowledgedBy(receiverId: string): number {
    return this.statements.acknowledged.get(this.folderName, receiverId)?.sequence ?? 0;
  }

  recordAt(path: RelativePath): FileRecord | null {
    const row = this.statements.at.get(this.folderName, ...pathKey(path));
    return row === undefined ? null : decodeLive(row);
  }

  /** Costs time in proportion to what is later. */
  pendingAfter(sequence: number): { files: number; bytes: number } {
    const { id, files, bytes, next_sequence: next } = this.folder();
    if (sequence === 0) return { files, bytes };
    if (sequence >= next - 1) return { files: 0, bytes: 0 };
    return this.statements.pending.get(id, sequence, kindNumber.file) ?? { files: 0, bytes: 0 };
  }

  private readBatch(after: number, limit: number): RecordBatch | null {
    const { id } = this.folder();
    const ahead = this.readRecords(id, after, Number.MAX_SAFE_INTEGER, limit + 1);
    const beyond = ahead[limit];
    if (beyond === undefined) {
      const end = this.statements.lastCheckpoint.get(id, after, Number.MAX_SAFE_INTEGER);
      return end === undefined
        ? null
        : { records: ahead, through: end.sequence, token: end.token, isHead: true };
    }
    const within = this.statements.lastCheckpoint.get(id, after, beyond.sequence - 1);
    if (within !== undefined) {
      const records = ahead.filter((record) => record.sequence <= within.sequence);
      return { records, through: within.sequence, token: within.token, isHead: false };
    }
    const next = this.statements.nextCheckpoint.get(id, beyond.sequence);
    if (next === undefined) throw new Error(`no checkpoint at or behind sequence ${beyond.sequence}`);
    const records = this.readRecords(id, after, next.sequence, Number.MAX_SAFE_INTEGER);
    return { records, through: next.sequence, token: next.token, isHead: false };
  }

  private readRecords(folder: number, after: number, through: number, limit: number): FileRecord[] {
    const live = this.statements.live.all(folder, after, through, limit).map(decodeLive);
    const gone = this.statements.gone.all(folder, after, through, limit).map((row): FileRecord => ({
      path: parseRelativePath(row.path),
      sequence: row.sequence,
      replaces: row.replaces,
      state: { kind: 'deleted' },
    }));
    return [...live, ...gone].sort((a, b) => a.sequence - b.sequence).slice(0, limit);
  }
}

function prepareReads(database: Database.Database) {
  const sql = <Parameters extends unknown[], Result>(text: string) =>
    database.prepare<Parameters, Result>(text);
  type Checkpoint = { sequence: number; token: Buffer };
  return {
    folder: sql<[string], FolderRow>('SELECT * FROM folders WHERE name = ?'),
    live: sql<[number, number, number, number], LiveRow>(
      `SELECT ${liveColumns} WHERE folder = ? AND sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?`,
    ).safeIntegers(true),
    at: sql<[string, Buffer, Buffer], LiveRow>(
      `SELECT ${liveColumns} WHERE folder = (SELECT id FROM folders WHERE folders.name = ?) AND parent = ? AND name = ?`,
    ).safeIntegers(true),
    pending: sql<[number, number, number], { files: number; bytes: number }>(
      'SELECT count(*) AS files, coalesce(sum(size), 0) AS bytes FROM records WHERE folder = ? AND sequence > ? AND kind = ?',
    ),
    gone: sql<[number, number, number, number], Tombstone>(
      `SELECT path, sequence, replaces FROM tombstones WHERE folder = ? AND sequence > ? AND sequence <= ?
       ORDER BY sequence LIMIT ?`,
    ),
    lastCheckpoint: sql<[number, number, number], Checkpoint>(
      `SELECT sequence, token FROM checkpoints WHERE folder = ? AND sequence > ? AND sequence <= ?
       ORDER BY sequence DESC LIMIT 1`,
    ),
    nextCheckpoint: sql<[number, number], Checkpoint>(
      'SELECT sequence, token FROM checkpoints WHERE folder = ? AND sequence >= ? ORDER BY sequence LIMIT 1',
    ),
    token: sql<[number, number], { token: Buffer }>(
      'SELECT token FROM checkpoints WHERE folder = ? AND sequence = ?',
    ),
    chunks: sql<[Buffer], { chunks: Buffer }>('SELECT chunks FROM chunk_lists WHERE hash = ?'),
    acknowledged: sql<[string, string], { sequence: number }>(
      `SELECT a.sequence FROM acknowledgements a JOIN folders f ON f.id = a.folder
       WHERE f.name = ? AND a.receiver = ?`,
    ),
  };
}
