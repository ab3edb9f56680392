import { createHash } from 'node:crypto';
import type { PullBatch, PullPartial, PullStore } from '../../receiver/pull/pull-store.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import { sameContent, type FileRecord, type PathState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';

type Stored = { state: PathState; indexId: Buffer; content: Buffer | null };

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const keyOf = (hash: Buffer): string => hash.toString('hex');

/** What a receiver keeps of a folder, in memory, with the rules of the real store that pulling relies on. */
export class FakeMirrorStore implements PullStore {
  readonly files = new Map<RelativePath, Stored>();
  readonly versions: { path: RelativePath; content: Buffer }[] = [];
  readonly missing: RelativePath[] = [];
  readonly commits: PullBatch[] = [];
  readonly stagedHashes: string[] = [];
  completions = 0;
  mustReopen = false;
  commitDelayMs = 0;
  /** Thrown by the next operations that write. */
  failure: CodedError | null = null;
  private last: FeedPosition | null = null;
  private readonly staged = new Map<string, Buffer>();
  private readonly partials = new Map<string, { bytes: Buffer; length: number }>();
  private busy = false;

  position(): FeedPosition | null {
    return this.last;
  }

  /** As after the loss of the receiver's database: the trees are there, the checkpoint is not. */
  losePosition(): void {
    this.last = null;
  }

  /** The live files by their names, as text. */
  tree(): Record<string, string> {
    const entries = [...this.files].flatMap(([name, { content }]) =>
      content === null ? [] : [[name, keyOf(sha256(content))] as const],
    );
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  assertRoom(): void {
    this.failIfTold();
  }

  need({ path, state }: FileRecord): 'nothing' | 'held' | 'fetch' {
    if (state.kind !== 'file') return 'nothing';
    const stored = this.files.get(path);
    if (stored !== undefined && sameContent(stored.state, state)) return 'nothing';
    return this.held(state.hash) === null ? 'fetch' : 'held';
  }

  async stageHeld(hash: Buffer, size: number): Promise<boolean> {
    await turn();
    this.failIfTold();
    const content = this.held(hash);
    if (content === null || content.length !== size) return false;
    this.staged.set(keyOf(hash), content);
    return true;
  }

  stage(hash: Buffer, bytes: Uint8Array): void {
    this.failIfTold();
    if (!sha256(bytes).equals(hash))
      throw new CodedError('CONTENT_MISMATCH', 'staged content has another hash');
    this.stagedHashes.push(keyOf(hash));
    this.staged.set(keyOf(hash), Buffer.from(bytes));
  }

  openPartial(hash: Buffer, size: number): PullPartial {
    const key = keyOf(hash);
    const { partials } = this;
    const at = () => partials.get(key) ?? { bytes: Buffer.alloc(0), length: 0 };
    return {
      get size() {
        return at().length;
      },
      read: (offset, length) => at().bytes.subarray(offset, Math.min(offset + length, at().length)),
      write: (offset, bytes) => {
        this.failIfTold();
        if (offset + bytes.length > size) throw new CodedError('CONTENT_MISMATCH', 'written past the size');
        const partial = partials.get(key) ?? { bytes: Buffer.alloc(size), length: 0 };
        partial.bytes.set(bytes, offset);
        partial.length = Math.max(partial.length, offset + bytes.length);
        partials.set(key, partial);
      },
      finish: async () => {
        await turn();
        const { bytes, length } = at();
        partials.delete(key);
        this.stage(hash, bytes.subarray(0, length));
      },
      close: () => {},
      discard: () => partials.delete(key),
    };
  }

  openCurrent(path: RelativePath) {
    const content = this.files.get(path)?.content ?? null;
    if (content === null) return null;
    return {
      size: content.length,
      read: (offset: number, length: number) => content.subarray(offset, offset + length),
      close: () => {},
    };
  }

  async commit(batch: PullBatch): Promise<void> {
    await this.alone(async () => {
      // what is staged is taken at the beginning and can be seen again only when the batch is there
      const contents = this.claim(batch.records);
      await new Promise((resolve) => {
        setTimeout(resolve, this.commitDelayMs);
      });
      this.failIfTold();
      const { indexId, through: sequence, token } = batch;
      for (const { path, state } of batch.records) {
        const old = this.files.get(path);
        const same = old !== undefined && sameContent(old.state, state);
        const content = same ? old.content : (contents.get(path) ?? null);
        if (!same && old?.content != null) this.versions.push({ path, content: old.content });
        if (state.kind === 'deleted') this.files.delete(path);
        else this.files.set(path, { state, indexId, content });
      }
      for (const { path } of batch.missing) {
        this.missing.push(path);
        const stored = this.files.get(path);
        if (stored !== undefined) this.files.set(path, { ...stored, indexId });
      }
      this.commits.push(batch);
      this.last = { indexId, sequence, token };
    });
  }

  async completeIndex(position: FeedPosition): Promise<void> {
    await this.alone(async () => {
      await turn();
      this.failIfTold();
      if (this.last?.indexId.equals(position.indexId) !== true || position.sequence > this.last.sequence) {
        throw new CodedError('PROTOCOL_VIOLATION', 'the index end was not reached');
      }
      this.completions += 1;
      for (const [path, { indexId, content }] of this.files) {
        if (indexId.equals(position.indexId)) continue;
        if (content !== null) this.versions.push({ path, content });
        this.files.delete(path);
      }
    });
  }

  private claim(records: readonly FileRecord[]): Map<RelativePath, Buffer> {
    const contents = new Map<RelativePath, Buffer>();
    for (const { path, state } of records) {
      const old = this.files.get(path);
      if (state.kind !== 'file' || (old !== undefined && sameContent(old.state, state))) continue;
      const content = this.held(state.hash);
      if (content === null) throw new CodedError('CONTENT_MISMATCH', 'committed content is not staged');
      contents.set(path, content);
    }
    for (const { state } of records) if (state.kind === 'file') this.staged.delete(keyOf(state.hash));
    return contents;
  }

  private held(hash: Buffer): Buffer | null {
    const staged = this.staged.get(keyOf(hash));
    if (staged !== undefined) return staged;
    const contents = [...this.files.values()].map(({ content }) => content);
    for (const content of [...contents, ...this.versions.map((version) => version.content)]) {
      if (content !== null && sha256(content).equals(hash)) return content;
    }
    return null;
  }

  private async alone(work: () => Promise<void>): Promise<void> {
    if (this.busy) throw new Error('two changes at once: a session began before the last one was through');
    this.busy = true;
    try {
      await work();
    } finally {
      this.busy = false;
    }
  }

  private failIfTold(): void {
    if (this.failure !== null) throw this.failure;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
