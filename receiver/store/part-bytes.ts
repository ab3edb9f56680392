import { setImmediate as turn } from 'node:timers/promises';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { PointPart } from '../points/folder-evidence.ts';
import { IntervalBytes, type ContentSpan } from './interval-bytes.ts';
import { momentsOf } from './interval-evidence.ts';
import type { MomentInterval } from './interval-index.ts';
import { sizeOf, type Holding } from './journal-entry.ts';
import type { MirrorIndex } from './mirror-index.ts';
import type { Moment } from './moment.ts';

const pathsAtOnce = 1000;

/**
 * How many bytes the parts of points in one mirror folder bring back, as far as they were counted since the store was
 * opened. What an index had up to a sequence that was reached does not change.
 */
export class PartBytes {
  readonly #index: MirrorIndex;
  readonly #counted = new Map<string, number>();
  #last: Promise<void> = Promise.resolve();

  constructor(index: MirrorIndex) {
    this.#index = index;
  }

  /** Null as long as it is not counted. */
  of(part: PointPart): number | null {
    return this.#counted.get(keyOf(part)) ?? null;
  }

  /** Counts those that are not counted yet, in one walk over all that is kept, which lets other work go on. */
  async count(parts: readonly PointPart[]): Promise<void> {
    const run = this.#last.then(async () => this.#count(parts));
    this.#last = run.catch(() => {});
    await run;
  }

  async #count(parts: readonly PointPart[]): Promise<void> {
    const wanted = new Map<MomentInterval, string>();
    for (const part of parts) {
      if (part.kind !== 'mirror' || this.#counted.has(keyOf(part))) continue;
      const { index, from, to } = part;
      const interval = { indexId: Buffer.from(index, 'hex'), from, to };
      const moments = momentsOf(this.#index.intervals, interval);
      const settled = this.#index.intervals.byId(interval.indexId)?.settled ?? null;
      if (moments !== null && settled !== null && settled >= to) wanted.set(moments, keyOf(part));
    }
    if (wanted.size === 0) return;
    const bytes = new IntervalBytes([...wanted.keys()]);
    await this.#walk(bytes);
    for (const { interval, bytes: total } of bytes.totals())
      this.#counted.set(wanted.get(interval) ?? '', total);
  }

  async #walk(bytes: IntervalBytes): Promise<void> {
    for (let after: RelativePath | null = null; ;) {
      const live = this.#index.liveAfter(after, pathsAtOnce);
      const versions = this.#index.versionsAfter(after, pathsAtOnce);
      const liveEnd = live.length < pathsAtOnce ? null : (live.at(-1)?.path ?? null);
      const end = earlier(liveEnd, versions.at(-1)?.path ?? null);
      const contents = new Map<RelativePath, ContentSpan[]>();
      for (const { path, replaced } of versions)
        if (end === null || path <= end) push(contents, path, spanOf(replaced.holding, replaced.ended));
      for (const { path, holding } of live)
        if (end === null || path <= end) push(contents, path, spanOf(holding, null));
      for (const spans of contents.values()) bytes.add(spans.sort(byBegin));
      if (end === null) return;
      after = end;
      await turn();
    }
  }
}

/** Up to where both pages go; null: to the end. */
function earlier(a: RelativePath | null, b: RelativePath | null): RelativePath | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}

function byBegin(a: ContentSpan, b: ContentSpan): number {
  return a.begun < b.begun ? -1 : a.begun > b.begun ? 1 : 0;
}

function spanOf(holding: Holding, ended: Moment | null): ContentSpan {
  return { begun: holding.begun, ended, bytes: sizeOf(holding) };
}

function push(contents: Map<RelativePath, ContentSpan[]>, path: RelativePath, span: ContentSpan): void {
  const spans = contents.get(path);
  if (spans === undefined) contents.set(path, [span]);
  else spans.push(span);
}

function keyOf(part: PointPart): string {
  return part.kind === 'mirror' ? `${part.index}:${part.from}:${part.to}` : '';
}
