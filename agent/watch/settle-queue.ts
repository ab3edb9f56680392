import type { RelativePath } from '../../shared/records/relative-path.ts';

type Entry = { signature: string; firstSeenMs: number; dueMs: number };

const bucketMs = 20;

/** What has to be looked at again, and when (monotonic milliseconds). Remembers since when each path has had its signature. */
export class SettleQueue {
  private readonly entries = new Map<RelativePath, Entry>();
  private readonly buckets = new Map<number, Set<RelativePath>>();

  get size(): number {
    return this.entries.size;
  }

  paths(): RelativePath[] {
    return [...this.entries.keys()];
  }

  has(path: RelativePath): boolean {
    return this.entries.has(path);
  }

  /** Queues the path, or moves it; the stillness counts on while the signature stays the same. */
  add(path: RelativePath, signature: string, delayMs: number, nowMs: number): void {
    const known = this.entries.get(path);
    const same = known?.signature === signature;
    const firstSeenMs = same ? known.firstSeenMs : nowMs;
    // What is queued already is not put off by other looks at it.
    const queued = known !== undefined && this.leaveBucket(path, known);
    const dueMs = same && queued ? Math.min(known.dueMs, nowMs + delayMs) : nowMs + delayMs;
    this.entries.set(path, { signature, firstSeenMs, dueMs });
    const bucket = Math.ceil(dueMs / bucketMs);
    const paths = this.buckets.get(bucket);
    if (paths === undefined) this.buckets.set(bucket, new Set([path]));
    else paths.add(path);
  }

  /** How long the path has been seen with this signature; 0 when it was not. */
  stillForMs(path: RelativePath, signature: string, nowMs: number): number {
    const entry = this.entries.get(path);
    return entry?.signature === signature ? nowMs - entry.firstSeenMs : 0;
  }

  /** A path whose time has come, or null. It stays known until `resolve`, so that adding it again keeps its stillness. */
  takeDue(nowMs: number): RelativePath | null {
    for (const [bucket, paths] of this.buckets) {
      if (bucket * bucketMs > nowMs) continue;
      for (const path of paths) {
        paths.delete(path);
        if (paths.size === 0) this.buckets.delete(bucket);
        return path;
      }
      this.buckets.delete(bucket);
    }
    return null;
  }

  /** The path was dealt with, unless it was added again meanwhile. Gives whether it is gone from the queue. */
  resolve(path: RelativePath): boolean {
    const entry = this.entries.get(path);
    if (entry === undefined) return true;
    const queued = this.buckets.get(Math.ceil(entry.dueMs / bucketMs))?.has(path) ?? false;
    if (!queued) this.entries.delete(path);
    return !queued;
  }

  /** When the next path is due; null when nothing is queued. */
  nextDueMs(): number | null {
    let next: number | null = null;
    for (const bucket of this.buckets.keys()) {
      if (next === null || bucket * bucketMs < next) next = bucket * bucketMs;
    }
    return next;
  }

  clear(): void {
    this.entries.clear();
    this.buckets.clear();
  }

  private leaveBucket(path: RelativePath, entry: Entry): boolean {
    const bucket = Math.ceil(entry.dueMs / bucketMs);
    const paths = this.buckets.get(bucket);
    const queued = paths?.delete(path) ?? false;
    if (paths?.size === 0) this.buckets.delete(bucket);
    return queued;
  }
}
