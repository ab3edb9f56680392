import type Database from 'better-sqlite3';
import { randomBytes } from 'node:crypto';
import type { ChunkList } from '../../shared/chunking/chunk-list.ts';
import type { FileRecord, PathState } from '../../shared/records/file-record.ts';
import { parentPath, rootPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { chunkedAboveBytes, encodeChunkList } from './chunk-list-blob.ts';
import { DirectoryTable, type DirectoryNote } from './directory-table.ts';
import { decodeRow, decodeState, directoryKey, encodeState, keyPath } from './index-row.ts';
import { pathKey, rangeEnd, sameState } from './index-row.ts';
import type { IndexRow, StateColumns } from './index-row.ts';
import { firstToken, nextToken } from './position-token.ts';
import { prepareIndexStatements, type IndexStatements } from './index-statements.ts';

/** A checkpoint never holds more records; a batch on the wire may carry one checkpoint whole. */
export const checkpointRecordsMax = 1024;

/** What a look at one path found. `ctimeNs` and `ino` are those of the look; `chunks` only for files above 1 MiB. */
export type PathChange = {
  path: RelativePath;
  state: PathState;
  ctimeNs: bigint;
  ino: bigint;
  chunks: ChunkList | null;
};

type Head = { indexId: Buffer; nextSequence: number; token: Buffer; files: number; bytes: number };

/**
 * One folder's index on the only connection that writes.
 *
 * What "no change is ever skipped" rests on:
 * 1. A row's signature (size, times, inode) is written only in the transaction that gives the path its sequence, so a
 *    path that looks unchanged to the next scan has been announced. Work that a crash interrupts leaves the old row,
 *    and the next scan finds the difference again.
 * 2. Rows, next sequence, token and checkpoint change in one transaction (WAL, synchronous=FULL); readers see only
 *    what is synced. So a position that was given out exists for good, and its sequence is never given again.
 * 3. A changed path moves to a later sequence. A receiver at a checkpoint lacks exactly the rows behind it.
 * 4. A deletion is a row too (a tombstone), until a new indexId, where receivers infer deletions from the end marker;
 *    `completeThrough` is therefore set only by a full scan that could name every live path.
 * 5. `dirty` is durable before anybody is told, and only an announcement with a new sequence clears it.
 * @see docs/architecture.md#why-no-change-is-skipped
 */
export class FolderIndex {
  readonly folderId: string;
  private readonly database: Database.Database;
  private readonly statements: IndexStatements;
  private readonly id: number;
  readonly directories: DirectoryTable;
  private head: Head;

  /** Finds the folder's index or begins one, with a new random indexId. */
  constructor(database: Database.Database, folderId: string) {
    this.database = database;
    this.folderId = folderId;
    this.statements = prepareIndexStatements(database);
    const indexId = randomBytes(8);
    this.statements.addFolder.run(folderId, indexId, firstToken(indexId));
    const row = this.statements.folder.get(folderId);
    if (row === undefined) throw new Error(`folder ${folderId} was not made`);
    this.id = row.id;
    this.directories = new DirectoryTable(database, row.id);
    this.head = {
      indexId: row.index_id,
      nextSequence: row.next_sequence,
      token: row.token,
      files: row.files,
      bytes: row.bytes,
    };
  }

  get indexId(): Buffer {
    return this.head.indexId;
  }

  /** The last sequence given, 0 before the first. */
  get sequence(): number {
    return this.head.nextSequence - 1;
  }

  /** Live regular files and the sum of their sizes. */
  get totals(): { files: number; bytes: number } {
    return { files: this.head.files, bytes: this.head.bytes };
  }

  get isEmpty(): boolean {
    return this.statements.anyLive.get(this.id) === undefined;
  }

  /** JSON of what the source looked like when it was last accepted, and whether an empty source is accepted. */
  readSource(): { baseline: string | null; acceptEmpty: boolean } {
    const row = this.statements.folder.get(this.folderId);
    return { baseline: row?.baseline ?? null, acceptEmpty: row?.accept_empty === 1 };
  }

  writeSource(baseline: string, acceptEmpty: boolean): void {
    this.statements.setSource.run(baseline, acceptEmpty ? 1 : 0, this.id);
  }

  get(path: RelativePath): IndexRow | null {
    const row = this.statements.row.get(this.id, ...pathKey(path));
    return row === undefined ? null : decodeRow(row);
  }

  /** Live entries of the directory itself, by name after `afterName`; the directory's own row is not among them. */
  children(directory: RelativePath, afterName: string, limit: number): IndexRow[] {
    const parent = directoryKey(directory);
    return this.statements.children
      .all(this.id, parent, Buffer.from(afterName, 'latin1'), limit)
      .map((row) => decodeRow(row));
  }

  /** The next directory name in `directory`, behind `afterName`, that has live entries somewhere below it; null at the end. */
  nextChildDirectory(directory: RelativePath, afterName: string | null): string | null {
    const prefix = directory === '' ? '' : `${directory}/`;
    const row = this.statements.nextParent.get(
      this.id,
      directoryKey(`${prefix}${afterName ?? ''}\u0001`),
      rangeEnd(directory),
    );
    if (row === undefined) return null;
    return row.parent.toString('latin1').slice(prefix.length).split('\0', 1)[0] ?? null;
  }

  /** Live paths below the directory (not the directory itself), in pages; pass the last path of a page to get the next. */
  below(directory: RelativePath, after: RelativePath | null, limit: number): RelativePath[] {
    const [parent, name] = after === null ? [directoryKey(directory), Buffer.alloc(0)] : pathKey(after);
    const rows = this.statements.below.all(this.id, parent, name, rangeEnd(directory), limit);
    return rows.map((row) => keyPath(row.parent, row.name));
  }

  /**
   * Commits what was found, at most `checkpointRecordsMax` records to a transaction; each of them ends at a checkpoint.
   * Durable when it returns. States that are already announced take no sequence, unless the path is dirty.
   * `directories`: what is noted of directories, together with the last of the changes.
   */
  commit(changes: readonly PathChange[], directories: readonly DirectoryNote[] = []): { records: number } {
    let records = 0;
    for (let from = 0; from === 0 || from < changes.length; from += checkpointRecordsMax) {
      const end = from + checkpointRecordsMax;
      records += this.commitPart(changes.slice(from, end), end < changes.length ? [] : directories);
    }
    return { records };
  }

  /** Durable when it returns; false when no live path of that name is in the index, so that a scan announces it anyway. */
  markDirty(path: RelativePath): boolean {
    return this.statements.markDirty.run(this.id, ...pathKey(path)).changes > 0;
  }

  dirtyPaths(limit: number): RelativePath[] {
    return this.statements.dirty.all(this.id, limit).map((row) => keyPath(row.parent, row.name));
  }

  /**
   * A new indexId over the same live rows: receivers are told of everything again, nothing is read again. Tombstones,
   * acknowledgements and old checkpoints go; the index is not complete until the next full scan.
   */
  renew(): void {
    const indexId = randomBytes(8);
    let token = firstToken(indexId);
    let end = 0;
    this.transaction(() => {
      this.statements.clearTombstones.run(this.id);
      this.statements.clearCheckpoints.run(this.id);
      this.statements.clearAcknowledgements.run(this.id);
      this.statements.clearReplaces.run(this.id);
      for (;;) {
        const rows = this.statements.liveAfter.all(this.id, end, checkpointRecordsMax);
        const last = rows.at(-1);
        if (last === undefined) break;
        end = Number(last.sequence);
        token = nextToken(token, end, rows.map(decodeLive));
        this.statements.addCheckpoint.run(this.id, end, token);
      }
      const head = this.head.nextSequence - 1;
      if (end < head) {
        // what came last is no longer there: restore points name its sequence, so that a receiver has to reach it
        token = nextToken(token, head, []);
        this.statements.addCheckpoint.run(this.id, head, token);
      }
      this.statements.setIndex.run(indexId, token, this.id);
    });
    this.head = { ...this.head, indexId, token };
  }

  /** A full scan of this index ended here. `complete` where it could name every live path. */
  finishScan(atMs: number, complete: boolean): void {
    this.transaction(() => {
      this.statements.finishScan.run(atMs, this.id);
      if (complete) this.statements.complete.run(this.id);
    });
  }

  acknowledge(receiverId: string, sequence: number): void {
    this.statements.acknowledge.run(this.id, receiverId, sequence);
  }

  forgetReceiver(receiverId: string): void {
    this.statements.forgetReceiver.run(this.id, receiverId);
  }

  /**
   * Drops checkpoints below every receiver's acknowledged position, keeping the acknowledged ones themselves and
   * enough others that no gap holds more than `checkpointRecordsMax` records. Gives the number dropped.
   */
  pruneCheckpoints(): number {
    const acknowledged = this.statements.acknowledged.all(this.id).map((row) => row.sequence);
    if (acknowledged.length === 0) return 0;
    const lowest = Math.min(...acknowledged);
    const candidates = this.statements.checkpointsBelow.all(this.id, lowest).map((row) => row.sequence);
    let dropped = 0;
    this.transaction(() => {
      let kept = 0;
      candidates.forEach((sequence, at) => {
        const next = candidates[at + 1] ?? lowest;
        const gap = this.statements.countBetween.get(this.id, kept, next, this.id, kept, next)?.records ?? 0;
        if (acknowledged.includes(sequence) || gap > checkpointRecordsMax) kept = sequence;
        else dropped += this.statements.dropCheckpoint.run(this.id, sequence).changes;
      });
    });
    return dropped;
  }

  /** Forgets the folder: a folder of the same id begins a new index. */
  remove(): void {
    this.transaction(() => {
      for (const statement of this.statements.removeFolder) statement.run(this.id);
      this.statements.dropUnusedChunks.run();
    });
  }

  private commitPart(changes: readonly PathChange[], directories: readonly DirectoryNote[]): number {
    const head = { ...this.head };
    const records: FileRecord[] = [];
    this.transaction(() => {
      for (const change of changes) {
        const record = this.apply(change, head);
        if (record !== null) records.push(record);
      }
      for (const parent of new Set(changes.map(({ path }) => parentPath(path) ?? rootPath))) {
        this.directories.disturb(directoryKey(parent));
      }
      this.directories.take(directories);
      if (records.length > 0) {
        head.token = nextToken(head.token, head.nextSequence - 1, records);
        this.statements.addCheckpoint.run(this.id, head.nextSequence - 1, head.token);
        this.statements.dropUnusedChunks.run();
      }
      this.statements.setHead.run(head.nextSequence, head.token, head.files, head.bytes, this.id);
    });
    this.head = head;
    return records.length;
  }

  private apply(change: PathChange, head: Head): FileRecord | null {
    const { path, state } = change;
    const key = pathKey(path);
    const found = this.statements.row.get(this.id, ...key);
    const old = found === undefined ? null : decodeRow(found);
    if (state.kind === 'deleted') {
      if (old === null) return null;
      const sequence = head.nextSequence++;
      this.count(old.state, -1, head);
      this.statements.dropRow.run(this.id, ...key);
      this.statements.addTombstone.run(this.id, Buffer.from(path, 'latin1'), sequence, old.sequence);
      return { path, sequence, replaces: old.sequence, state };
    }
    if (old !== null && !old.dirty && sameState(old.state, state)) {
      this.statements.touchRow.run(change.ctimeNs, change.ino, this.id, ...key);
      return null;
    }
    const tombstone =
      old === null ? this.statements.tombstone.get(this.id, Buffer.from(path, 'latin1')) : undefined;
    if (tombstone !== undefined) this.statements.dropTombstone.run(this.id, Buffer.from(path, 'latin1'));
    const replaces = old?.sequence ?? tombstone?.sequence ?? null;
    const sequence = head.nextSequence++;
    if (old !== null) this.count(old.state, -1, head);
    this.count(state, 1, head, change.chunks);
    const [kind, size, mtimeNs, mode, uid, gid, content] = encodeState(state);
    this.statements.putRow.run(
      this.id,
      ...key,
      sequence,
      replaces,
      kind,
      size,
      mtimeNs,
      change.ctimeNs,
      change.ino,
      mode,
      uid,
      gid,
      content,
    );
    return { path, sequence, replaces, state };
  }

  /** Keeps the totals, and the chunk lists that live files use. */
  private count(state: IndexRow['state'], by: 1 | -1, head: Head, chunks: ChunkList | null = null): void {
    if (state.kind !== 'file') return;
    head.files += by;
    head.bytes += by * state.size;
    if (state.size <= chunkedAboveBytes) return;
    if (by === 1 && chunks !== null) this.statements.addChunks.run(state.hash, encodeChunkList(chunks));
    this.statements.useChunks.run(by, state.hash);
  }

  private transaction(work: () => void): void {
    this.database.transaction(work).immediate();
  }
}

/** A live row as a record for the wire. */
export function decodeLive(
  row: StateColumns & { parent: Buffer; name: Buffer; sequence: bigint; replaces: bigint | null },
): FileRecord {
  return {
    path: keyPath(row.parent, row.name),
    sequence: Number(row.sequence),
    replaces: row.replaces === null ? null : Number(row.replaces),
    state: decodeState(row),
  };
}
