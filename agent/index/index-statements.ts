import type Database from 'better-sqlite3';
import { chunkedAboveBytes } from './chunk-list-blob.ts';
import type { RowColumns, StateColumns } from './index-row.ts';

type Folder = {
  id: number;
  index_id: Buffer;
  next_sequence: number;
  token: Buffer;
  complete_through: number | null;
  baseline: string | null;
  accept_empty: number;
  files: number;
  bytes: number;
  last_scan_at: number | null;
};
type Key = { parent: Buffer; name: Buffer };

/** A live row in the order of sequences, as it goes to receivers. */
export type LiveRow = StateColumns & Key & { sequence: bigint; replaces: bigint | null };

/** What is used of a prepared statement. */
type Statement<Parameters extends unknown[], Result> = {
  run(...parameters: Parameters): { changes: number };
  get(...parameters: Parameters): Result | undefined;
  all(...parameters: Parameters): Result[];
};

export type IndexStatements = ReturnType<typeof prepareIndexStatements>;

const rowColumns =
  'name, sequence, kind, size, mtime_ns, ctime_ns, ino, mode, uid, gid, content, dirty FROM records';

/** What a receiver needs of a live row. */
export const liveColumns =
  'parent, name, sequence, replaces, kind, size, mtime_ns, mode, uid, gid, content FROM records';

/** The writer's statements, prepared once for a connection and folder. */
export function prepareIndexStatements(database: Database.Database) {
  const sql = <Parameters extends unknown[], Result = unknown>(text: string): Statement<Parameters, Result> =>
    database.prepare<Parameters, Result>(text);
  /** Times in nanoseconds and inodes do not fit a double. */
  const exact = <Parameters extends unknown[], Result>(text: string): Statement<Parameters, Result> =>
    database.prepare<Parameters, Result>(text).safeIntegers(true);
  return {
    addFolder: sql<[string, Buffer, Buffer]>(
      'INSERT OR IGNORE INTO folders (name, index_id, next_sequence, token) VALUES (?, ?, 1, ?)',
    ),
    folder: sql<[string], Folder>('SELECT * FROM folders WHERE name = ?'),
    setSource: sql<[string, number, number]>(
      'UPDATE folders SET baseline = ?, accept_empty = ? WHERE id = ?',
    ),
    setHead: sql<[number, Buffer, number, number, number]>(
      'UPDATE folders SET next_sequence = ?, token = ?, files = ?, bytes = ? WHERE id = ?',
    ),
    setIndex: sql<[Buffer, Buffer, number]>(
      'UPDATE folders SET index_id = ?, token = ?, complete_through = NULL WHERE id = ?',
    ),
    finishScan: sql<[number, number]>('UPDATE folders SET last_scan_at = ?, accept_empty = 0 WHERE id = ?'),
    /** The last checkpoint, which may lie before the last sequence given: a new indexId drops tombstones. */
    complete: sql<[number]>(
      `UPDATE folders SET complete_through =
       coalesce((SELECT max(sequence) FROM checkpoints WHERE folder = folders.id), 0) WHERE id = ?`,
    ),
    anyLive: sql<[number]>("SELECT 1 FROM records WHERE folder = ? AND (parent, name) > (x'', x'') LIMIT 1"),
    row: exact<[number, Buffer, Buffer], RowColumns>(
      `SELECT ${rowColumns} WHERE folder = ? AND parent = ? AND name = ?`,
    ),
    children: exact<[number, Buffer, Buffer, number], RowColumns>(
      `SELECT ${rowColumns} WHERE folder = ? AND parent = ? AND name > ? ORDER BY name LIMIT ?`,
    ),
    nextParent: sql<[number, Buffer, Buffer], { parent: Buffer }>(
      'SELECT parent FROM records WHERE folder = ? AND parent >= ? AND parent < ? ORDER BY parent LIMIT 1',
    ),
    below: sql<[number, Buffer, Buffer, Buffer, number], Key>(
      `SELECT parent, name FROM records WHERE folder = ? AND (parent, name) > (?, ?) AND parent < ?
       ORDER BY parent, name LIMIT ?`,
    ),
    liveAfter: exact<[number, number, number], LiveRow>(
      `SELECT ${liveColumns} WHERE folder = ? AND sequence > ? ORDER BY sequence LIMIT ?`,
    ),
    dirty: sql<[number, number], Key>(
      'SELECT parent, name FROM records WHERE folder = ? AND dirty = 1 LIMIT ?',
    ),
    markDirty: sql<[number, Buffer, Buffer]>(
      'UPDATE records SET dirty = 1 WHERE folder = ? AND parent = ? AND name = ?',
    ),
    putRow: sql<
      [
        number,
        Buffer,
        Buffer,
        number,
        number | null,
        number,
        number,
        bigint,
        bigint,
        bigint,
        number,
        number,
        number,
        Buffer | null,
      ]
    >(
      `INSERT OR REPLACE INTO records (folder, parent, name, sequence, replaces, kind, size, mtime_ns, ctime_ns, ino,
       mode, uid, gid, content, dirty) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
    ),
    touchRow: sql<[bigint, bigint, number, Buffer, Buffer]>(
      'UPDATE records SET ctime_ns = ?, ino = ? WHERE folder = ? AND parent = ? AND name = ?',
    ),
    dropRow: sql<[number, Buffer, Buffer]>(
      'DELETE FROM records WHERE folder = ? AND parent = ? AND name = ?',
    ),
    tombstone: sql<[number, Buffer], { sequence: number }>(
      'SELECT sequence FROM tombstones WHERE folder = ? AND path = ?',
    ),
    addTombstone: sql<[number, Buffer, number, number]>(
      'INSERT OR REPLACE INTO tombstones (folder, path, sequence, replaces) VALUES (?, ?, ?, ?)',
    ),
    dropTombstone: sql<[number, Buffer]>('DELETE FROM tombstones WHERE folder = ? AND path = ?'),
    clearTombstones: sql<[number]>('DELETE FROM tombstones WHERE folder = ?'),
    clearCheckpoints: sql<[number]>('DELETE FROM checkpoints WHERE folder = ?'),
    clearAcknowledgements: sql<[number]>('DELETE FROM acknowledgements WHERE folder = ?'),
    clearReplaces: sql<[number]>('UPDATE records SET replaces = NULL WHERE folder = ?'),
    addCheckpoint: sql<[number, number, Buffer]>(
      'INSERT INTO checkpoints (folder, sequence, token) VALUES (?, ?, ?)',
    ),
    dropCheckpoint: sql<[number, number]>('DELETE FROM checkpoints WHERE folder = ? AND sequence = ?'),
    checkpointsBelow: sql<[number, number], { sequence: number }>(
      'SELECT sequence FROM checkpoints WHERE folder = ? AND sequence < ? ORDER BY sequence',
    ),
    countBetween: sql<[number, number, number, number, number, number], { records: number }>(
      `SELECT (SELECT count(*) FROM records WHERE folder = ? AND sequence > ? AND sequence <= ?)
         + (SELECT count(*) FROM tombstones WHERE folder = ? AND sequence > ? AND sequence <= ?) AS records`,
    ),
    acknowledge: sql<[number, string, number]>(
      `INSERT INTO acknowledgements (folder, receiver, sequence) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET sequence = excluded.sequence`,
    ),
    acknowledged: sql<[number], { receiver: string; sequence: number }>(
      'SELECT receiver, sequence FROM acknowledgements WHERE folder = ?',
    ),
    forgetReceiver: sql<[number, string]>('DELETE FROM acknowledgements WHERE folder = ? AND receiver = ?'),
    addChunks: sql<[Buffer, Buffer]>(
      'INSERT OR IGNORE INTO chunk_lists (hash, uses, chunks) VALUES (?, 0, ?)',
    ),
    useChunks: sql<[number, Buffer]>('UPDATE chunk_lists SET uses = uses + ? WHERE hash = ?'),
    dropUnusedChunks: sql<[]>('DELETE FROM chunk_lists WHERE uses <= 0'),
    removeFolder: [
      sql<[number]>(
        `UPDATE chunk_lists SET uses = uses - used.files FROM (SELECT content, count(*) AS files FROM records
         WHERE folder = ? AND kind = 1 AND size > ${chunkedAboveBytes} GROUP BY content) AS used WHERE used.content = hash`,
      ),
      sql<[number]>('DELETE FROM records WHERE folder = ?'),
      sql<[number]>('DELETE FROM tombstones WHERE folder = ?'),
      sql<[number]>('DELETE FROM checkpoints WHERE folder = ?'),
      sql<[number]>('DELETE FROM acknowledgements WHERE folder = ?'),
      sql<[number]>('DELETE FROM directories WHERE folder = ?'),
      sql<[number]>('DELETE FROM folders WHERE id = ?'),
    ],
  };
}
