import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ServedFeed } from '../../agent/serve/served-feed.ts';
import { ChunkListBuilder, type ChunkList } from '../../shared/chunking/chunk-list.ts';
import { fileChunking } from '../../shared/chunking/chunking-parameters.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { FileRecord, PathState } from '../../shared/records/file-record.ts';
import { parseTypedPath, type RelativePath } from '../../shared/records/relative-path.ts';

type Index = {
  indexId: Buffer;
  records: Map<RelativePath, FileRecord>;
  checkpoints: { sequence: number; token: Buffer }[];
  completeThrough: number | null;
  dirty: Set<RelativePath>;
  acknowledgements: Map<string, number>;
};

/** A folder in memory: `write` and `remove` change the source, `scan` commits what changed, like an agent's index does. */
export class FakeFolderFeed implements ServedFeed {
  readonly kind = 'mirror';
  readonly folderId: string;
  readonly source = new Map<RelativePath, Buffer>();
  readonly unreadable = new Set<RelativePath>();
  readonly opened: RelativePath[] = [];
  readonly renewals: string[] = [];
  /** Records up to one checkpoint. */
  checkpointRecords = 1024;
  /** Records of one batch, whatever is asked for. */
  batchRecords = 1024;
  /** Called when content is opened, to change the source under the reader. */
  onOpen: (path: RelativePath) => void = () => {};
  private index: Index = emptyIndex();
  private readonly listeners = new Set<() => void>();

  constructor(folderId = 'media') {
    this.folderId = folderId;
  }

  write(name: string, content: Buffer | string): void {
    this.source.set(parseTypedPath(name), Buffer.from(content));
  }

  remove(name: string): void {
    this.source.delete(parseTypedPath(name));
  }

  /** Commits what differs from the index, in checkpoints; a scan of everything completes the index. */
  scan(): void {
    const { records, dirty } = this.index;
    const changed: [RelativePath, PathState][] = [];
    for (const [name, content] of this.source) {
      if (this.unreadable.has(name)) continue;
      const state = fileState(content);
      const known = records.get(name)?.state;
      if (dirty.has(name) || known?.kind !== 'file' || !known.hash.equals(state.hash))
        changed.push([name, state]);
    }
    for (const [name, { state }] of records) {
      if (state.kind !== 'deleted' && !this.source.has(name)) changed.push([name, { kind: 'deleted' }]);
    }
    dirty.clear();
    for (let at = 0; at < changed.length; at += this.checkpointRecords) {
      this.commit(changed.slice(at, at + this.checkpointRecords));
    }
    this.index.completeThrough = this.lastCheckpoint().sequence;
    this.notify();
  }

  /** Everything that a copy of the database would hold. */
  snapshot(): Index {
    const { records, checkpoints, dirty, acknowledgements } = this.index;
    return {
      ...this.index,
      records: new Map(records),
      checkpoints: [...checkpoints],
      dirty: new Set(dirty),
      acknowledgements: new Map(acknowledgements),
    };
  }

  rollBack(index: Index): void {
    this.index = { ...index, records: new Map(index.records), checkpoints: [...index.checkpoints] };
  }

  /** As after the loss of the agent's database. */
  loseIndex(): void {
    this.index = emptyIndex();
    this.notify();
  }

  indexId(): Buffer {
    return this.index.indexId;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  batchAfter(sequence: number, limitAsked = 1024) {
    const limit = Math.min(limitAsked, this.batchRecords);
    const later = [...this.index.records.values()]
      .filter((record) => record.sequence > sequence)
      .sort((a, b) => a.sequence - b.sequence);
    const checkpoints = this.index.checkpoints.filter((checkpoint) => checkpoint.sequence > sequence);
    const within = checkpoints.filter(
      (checkpoint) => later.filter((record) => record.sequence <= checkpoint.sequence).length <= limit,
    );
    const end = within.at(-1) ?? checkpoints[0];
    if (end === undefined) return null;
    return {
      records: later.filter((record) => record.sequence <= end.sequence),
      through: end.sequence,
      token: end.token,
      isHead: end === checkpoints.at(-1),
    };
  }

  completeThrough(): number | null {
    return this.index.completeThrough;
  }

  matches(position: FeedPosition): boolean {
    if (!position.indexId.equals(this.index.indexId)) return false;
    if (position.sequence === 0) return true;
    return this.index.checkpoints.some(
      ({ sequence, token }) => sequence === position.sequence && token.equals(position.token),
    );
  }

  async renewIndex(reason: string): Promise<void> {
    this.renewals.push(reason);
    this.index = emptyIndex();
    this.notify();
    setImmediate(() => this.scan());
  }

  recordAt(name: RelativePath): FileRecord | null {
    return this.index.records.get(name) ?? null;
  }

  pendingAfter(sequence: number): { files: number; bytes: number } {
    const states = [...this.index.records.values()]
      .filter((record) => record.sequence > sequence)
      .map(({ state }) => state);
    const files = states.flatMap((state) => (state.kind === 'file' ? [state] : []));
    return { files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) };
  }

  openSource(name: RelativePath) {
    this.opened.push(name);
    this.onOpen(name);
    if (this.unreadable.has(name)) throw new CodedError('SOURCE_UNREADABLE', 'made unreadable by the test');
    const content = this.source.get(name);
    if (content === undefined) return null;
    const file = path.join(os.tmpdir(), `mastokeep-test-${randomBytes(8).toString('hex')}`);
    fs.writeFileSync(file, content);
    const fd = fs.openSync(file, 'r');
    fs.unlinkSync(file);
    return { fd, size: content.length, close: () => fs.closeSync(fd) };
  }

  async chunkList(hash: Buffer): Promise<ChunkList | null> {
    const content = [...this.source.values()].find((bytes) => sha256(bytes).equals(hash));
    if (content === undefined) return null;
    const builder = new ChunkListBuilder(fileChunking);
    builder.update(content);
    return builder.finish();
  }

  async markDirty(name: RelativePath): Promise<void> {
    this.index.dirty.add(name);
  }

  isDirty(name: string): boolean {
    return this.index.dirty.has(parseTypedPath(name));
  }

  acknowledged(receiverId: string, position: FeedPosition): void {
    this.index.acknowledgements.set(receiverId, position.sequence);
  }

  acknowledgedBy(receiverId: string): number {
    return this.index.acknowledgements.get(receiverId) ?? 0;
  }

  private commit(changed: [RelativePath, PathState][]): void {
    const { records, checkpoints } = this.index;
    const last = this.lastCheckpoint();
    let { sequence } = last;
    const chain = createHash('sha256').update(last.token);
    for (const [name, state] of changed) {
      sequence += 1;
      records.set(name, { path: name, sequence, replaces: records.get(name)?.sequence ?? null, state });
      chain.update(name, 'latin1').update(state.kind === 'file' ? state.hash : 'deleted');
    }
    checkpoints.push({ sequence, token: chain.digest() });
  }

  private lastCheckpoint(): { sequence: number; token: Buffer } {
    return this.index.checkpoints.at(-1) ?? { sequence: 0, token: Buffer.alloc(32) };
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}

function emptyIndex(): Index {
  return {
    indexId: randomBytes(8),
    records: new Map(),
    checkpoints: [],
    completeThrough: null,
    dirty: new Set(),
    acknowledgements: new Map(),
  };
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function fileState(content: Buffer): Extract<PathState, { kind: 'file' }> {
  return {
    kind: 'file',
    size: content.length,
    mtimeNs: 1n,
    mode: 0o644,
    uid: 0,
    gid: 0,
    hash: sha256(content),
  };
}
