import type { FileRecord } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { fileState } from './store-fixture.ts';

type Row = { sequence: number; replaces: number | null; content: string | null };
type Event = { sequence: number; content: string | null; delivered: boolean };

/** An index of the agent. `bornAt`: the last sequence of what was alive when it began. */
export type HistoryIndex = {
  readonly id: Buffer;
  readonly bornAt: number;
  readonly events: Map<string, Event[]>;
  /** The last sequence at which a receiver had everything; null before. */
  settled: number | null;
  complete: boolean;
};

/**
 * An agent's folder and all that ever happened in it, in the simplest form: what was alive when is read off the events.
 * Rows are what its index still tells: of each path the last state only.
 */
export class IntervalHistory {
  readonly indexes: HistoryIndex[] = [];
  sequence = 0;
  #rows = new Map<string, Row>();
  /** Up to where a receiver has the current index. */
  #sentThrough = 0;

  constructor() {
    this.renew(false);
  }

  get index(): HistoryIndex {
    const index = this.indexes.at(-1);
    if (index === undefined) throw new Error('there is no index');
    return index;
  }

  get isCaughtUp(): boolean {
    return this.#sentThrough === this.sequence;
  }

  get sentThrough(): number {
    return this.#sentThrough;
  }

  /** A new content, or a deletion (null). */
  change(path: string, content: string | null): void {
    const row = this.#rows.get(path);
    if (content === null && (row === undefined || row.content === null)) return;
    this.sequence += 1;
    this.#rows.set(path, { sequence: this.sequence, replaces: row?.sequence ?? null, content });
    this.#note(path, content, this.sequence);
  }

  /** A new index over what is alive; `keepsSequences`: as an agent does that renews it on purpose. */
  renew(keepsSequences: boolean): void {
    const alive = [...this.#rows]
      .filter(([, { content }]) => content !== null)
      .sort(([, a], [, b]) => a.sequence - b.sequence);
    if (!keepsSequences) this.sequence = alive.length;
    const id = Buffer.alloc(8, this.indexes.length + 1);
    const bornAt = this.sequence;
    this.indexes.push({ id, bornAt, events: new Map(), settled: null, complete: false });
    this.#sentThrough = 0;
    this.#rows = new Map(
      alive.map(([path, { content, sequence }], at) => {
        const given = keepsSequences ? sequence : at + 1;
        this.#note(path, content, given);
        return [path, { sequence: given, replaces: null, content }];
      }),
    );
  }

  /** What comes next: at most so many records. Null when nothing does. */
  next(limit: number): { records: FileRecord[]; through: number; isHead: boolean } | null {
    const later = [...this.#rows]
      .filter(([, { sequence }]) => sequence > this.#sentThrough)
      .sort(([, a], [, b]) => a.sequence - b.sequence);
    if (this.isCaughtUp) return null;
    const records = later.slice(0, limit).map(([path, { sequence, replaces, content }]): FileRecord => ({
      path: path as RelativePath,
      sequence,
      replaces,
      state: content === null ? { kind: 'deleted' } : fileState(content),
    }));
    const isHead = later.length <= limit;
    return { records, through: isHead ? this.sequence : (records.at(-1)?.sequence ?? 0), isHead };
  }

  /** The batch is durable at the receiver, but for what was gone. */
  delivered(batch: { records: FileRecord[]; through: number; isHead: boolean }, gone: Set<string>): void {
    for (const { path, sequence } of batch.records) {
      const event = this.index.events.get(path)?.find((one) => one.sequence === sequence);
      if (event !== undefined && !gone.has(path)) event.delivered = true;
    }
    this.#sentThrough = batch.through;
    if (batch.isHead) this.index.settled = batch.through;
  }

  /** The receiver has the current index up to there only. */
  rewind(sequence: number): void {
    this.#sentThrough = Math.min(this.#sentThrough, sequence);
  }

  /** The last content that was alive at `from` or came up to `to`; null: none. */
  static contentOf(events: readonly Event[], from: number, to: number): string | null {
    for (let at = events.length - 1; at >= 0; at -= 1) {
      const { sequence, content } = events[at] ?? { sequence: Infinity, content: null };
      const ended = events[at + 1]?.sequence ?? Infinity;
      if (sequence <= to && ended > from && content !== null) return content;
    }
    return null;
  }

  #note(path: string, content: string | null, sequence: number): void {
    const events = this.index.events.get(path) ?? [];
    events.push({ sequence, content, delivered: false });
    this.index.events.set(path, events);
  }
}
