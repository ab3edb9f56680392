import type { FileRecord, PathState } from '../../shared/records/file-record.ts';
import type { RecordBatch } from '../../agent/index/folder-feed.ts';

/** A receiver that believes everything: what it would hold after reading a feed from a position on. */
export class ReplayedFeed {
  readonly states = new Map<string, PathState>();
  readonly sequences = new Map<string, number>();
  through = 0;
  token: Buffer | null = null;

  /** Reads everything that is later. Throws where the feed breaks a promise about order or size. */
  follow(feed: { batchAfter(sequence: number, limit?: number): RecordBatch | null }, limit?: number): void {
    for (;;) {
      const batch = feed.batchAfter(this.through, limit);
      if (batch === null) return;
      this.apply(batch);
    }
  }

  private apply(batch: RecordBatch): void {
    let last = this.through;
    for (const record of batch.records) {
      if (record.sequence <= last) throw new Error(`sequence ${record.sequence} after ${last}`);
      last = record.sequence;
      this.take(record);
    }
    if (batch.through < last || batch.through <= this.through)
      throw new Error(`batch ends at ${batch.through}`);
    if (batch.records.length > 1024) throw new Error(`batch of ${batch.records.length} records`);
    this.through = batch.through;
    this.token = batch.token;
  }

  private take(record: FileRecord): void {
    this.sequences.set(record.path, record.sequence);
    if (record.state.kind === 'deleted') this.states.delete(record.path);
    else this.states.set(record.path, record.state);
  }
}

/** A state in the words of `describeTree`. */
function describeState(state: PathState): string {
  switch (state.kind) {
    case 'file':
      return `file ${state.size} ${state.mtimeNs} ${state.mode.toString(8)} ${state.uid}:${state.gid} ${state.hash.toString('hex')}`;
    case 'symlink':
      return `symlink ${state.target.toString('latin1')} ${state.mtimeNs} ${state.uid}:${state.gid}`;
    case 'directory':
      return `directory ${state.mode.toString(8)} ${state.uid}:${state.gid}`;
    case 'deleted':
      return 'deleted';
  }
}

/**
 * The differences between a tree and what a receiver would restore: a directory without a record is the way to
 * something and has its parent's mode and owner.
 */
export function compareWithTree(replayed: ReplayedFeed, tree: Map<string, string>): string[] {
  const problems: string[] = [];
  const inherited = (path: string): string => {
    const own = replayed.states.get(path);
    if (own?.kind === 'directory') return describeState(own);
    return path === ''
      ? 'no root'
      : inherited(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '');
  };
  for (const [path, expected] of tree) {
    const state = replayed.states.get(path);
    if (expected.startsWith('directory')) {
      const implied = [...replayed.states.keys()].some(
        (other) => other === path || other.startsWith(`${path}/`),
      );
      if (!implied) problems.push(`${path} is missing, is ${expected}`);
      else if (inherited(path) !== expected) problems.push(`${path} is ${expected}, said ${inherited(path)}`);
    } else if (state === undefined || describeState(state) !== expected) {
      problems.push(`${path} is ${expected}, said ${state === undefined ? 'nothing' : describeState(state)}`);
    }
  }
  for (const path of replayed.states.keys()) {
    if (path !== '' && !tree.has(path)) problems.push(`${path} is not in the tree`);
  }
  return problems;
}
