import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { FileRecord, FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { ContentFetcher } from '../../shared/transfer/content-fetcher.ts';
import type { PullPartial, PullStore } from './pull-store.ts';

type FileOf = FileRecord & { state: FileState };

/** Paths of a batch that have one content: it is staged once, and asked for at the next path where it is gone at the first. */
type ContentGroup = { hash: Buffer; size: number; files: FileOf[] };

/** Large contents that are put together at once. */
const chunkedAtOnce = 4;

export type BatchContentDeps = { folder: string; store: PullStore; fetcher: ContentFetcher };

export type PulledBytes = { received: number; reused: number };

/**
 * Brings the contents of one batch into the store's staging area: held ones by a copy on this side, the others over the link.
 * `fetchEarly` may run while the batch before is being committed; `complete` runs behind that commit and does the rest.
 * Both may be called again after a failure: what is staged by then is not fetched again.
 */
export class BatchContent {
  readonly pulled: PulledBytes = { received: 0, reused: 0 };
  private readonly deps: BatchContentDeps;
  private readonly groups: readonly ContentGroup[];
  private readonly gonePaths = new Set<RelativePath>();

  constructor(deps: BatchContentDeps, records: readonly FileRecord[]) {
    this.deps = deps;
    this.groups = groupByContent(records);
  }

  /** Hashes of all contents of the batch, as latin1 text. */
  hashes(): string[] {
    return this.groups.map(({ hash }) => hash.toString('latin1'));
  }

  /** Announced paths whose content is gone; they stay as they are stored. */
  missing(): RelativePath[] {
    return [...this.gonePaths];
  }

  /**
   * Fetches what is held nowhere. Contents in `uncommitted` are left out: the batch that is being committed has them.
   * @throws CodedError of the store or the link
   */
  async fetchEarly(uncommitted: ReadonlySet<string>): Promise<void> {
    const lacking = this.groups.filter(
      (group) => !uncommitted.has(group.hash.toString('latin1')) && this.needOf(group) === 'fetch',
    );
    await this.fetchAll(lacking);
  }

  /** Copies what is held and fetches the rest; then every content is staged, stored at its path, or gone. */
  async complete(): Promise<void> {
    const lacking: ContentGroup[] = [];
    for (const group of this.groups) {
      const need = this.needOf(group);
      if (need === 'nothing') continue;
      if (need === 'held' && (await this.deps.store.stageHeld(group.hash, group.size))) {
        this.pulled.reused += group.size;
        continue;
      }
      lacking.push(group);
    }
    await this.fetchAll(lacking);
  }

  /** What the group's paths need that are not gone; a path may have the content already while another needs it. */
  private needOf({ files }: ContentGroup): 'nothing' | 'held' | 'fetch' {
    const open = files.filter(({ path }) => !this.gonePaths.has(path));
    const needs = new Set(open.map((file) => this.deps.store.need(file)));
    if (needs.has('fetch')) return 'fetch';
    return needs.has('held') ? 'held' : 'nothing';
  }

  /**
   * Whether all of them have room: what an earlier attempt left of a large content is stored already, and stays for this
   * one.
   * @throws CodedError STORE_FULL, QUOTA_REACHED
   */
  private assertRoom(groups: readonly ContentGroup[]): void {
    const { store } = this.deps;
    const partials: PullPartial[] = [];
    try {
      let bytes = 0;
      for (const { hash, size } of groups) {
        bytes += size;
        if (size <= limits.wholeFileBytesMax) continue;
        const partial = store.openPartial(hash, size);
        partials.push(partial);
        bytes -= partial.size;
      }
      store.assertRoom(bytes);
    } finally {
      for (const partial of partials) partial.close();
    }
  }

  /** Everything has settled when this does, so that nothing is staged behind the back of a retry. */
  private async fetchAll(groups: readonly ContentGroup[]): Promise<void> {
    // what does not fit is not asked for again at every try
    this.assertRoom(groups);
    const small = groups.filter(({ size }) => size <= limits.wholeFileBytesMax);
    const large = groups.filter(({ size }) => size > limits.wholeFileBytesMax);
    const lanes = Array.from({ length: chunkedAtOnce }, async () => {
      for (let group = large.shift(); group !== undefined; group = large.shift())
        await this.fetchGroup(group);
    });
    const outcomes = await Promise.allSettled([...small.map((group) => this.fetchGroup(group)), ...lanes]);
    const errors = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
    );
    if (errors.length === 0) return;
    // what ends the link comes before what only makes the folder wait
    throw (
      errors.find((error) => !isCoded(error, 'STORE_FULL') && !isCoded(error, 'QUOTA_REACHED')) ?? errors[0]
    );
  }

  private async fetchGroup(group: ContentGroup): Promise<void> {
    const { store } = this.deps;
    if (group.size === 0) {
      store.stage(group.hash, new Uint8Array(0));
      return;
    }
    for (const { path } of group.files) {
      if (this.gonePaths.has(path)) continue;
      const fetched =
        group.size <= limits.wholeFileBytesMax
          ? this.fetchWhole(group, path)
          : this.fetchChunked(group, path);
      if (await fetched) {
        // the content is here: whoever else announced it has it as well
        for (const file of group.files) this.gonePaths.delete(file.path);
        return;
      }
      this.gonePaths.add(path);
    }
  }

  private async fetchWhole({ hash, size }: ContentGroup, path: RelativePath): Promise<boolean> {
    const { folder, fetcher, store } = this.deps;
    const outcome = await fetcher.fetchWhole(
      { folder, path, hash, size },
      (bytes) => store.stage(hash, bytes),
      'taker',
    );
    if (outcome !== 'taken') return false;
    this.pulled.received += size;
    return true;
  }

  private async fetchChunked(group: ContentGroup, path: RelativePath): Promise<boolean> {
    try {
      return await this.assemble(group, path);
    } catch (error) {
      // the chunks were right and the whole is not: once more from nothing, then it is the agent's fault
      if (!isCoded(error, 'CONTENT_MISMATCH')) throw error;
      return this.assemble(group, path);
    }
  }

  private async assemble({ hash, size }: ContentGroup, path: RelativePath): Promise<boolean> {
    const { folder, fetcher, store } = this.deps;
    const partial = store.openPartial(hash, size);
    const current = store.openCurrent(path);
    let finished = false;
    try {
      const bases = current === null ? [] : [current];
      const outcome = await fetcher.fetchChunked({ folder, path, hash, size }, partial, bases);
      if (typeof outcome === 'string') return false;
      finished = true;
      await partial.finish();
      this.pulled.received += outcome.received;
      this.pulled.reused += outcome.reused;
      return true;
    } finally {
      current?.close();
      if (!finished) partial.close();
    }
  }
}

/** @throws CodedError PROTOCOL_VIOLATION (one hash, two sizes) */
function groupByContent(records: readonly FileRecord[]): ContentGroup[] {
  const groups = new Map<string, ContentGroup>();
  for (const record of records) {
    const { state } = record;
    if (state.kind !== 'file') continue;
    const key = state.hash.toString('latin1');
    const group = groups.get(key);
    if (group === undefined) {
      groups.set(key, { hash: state.hash, size: state.size, files: [{ ...record, state }] });
      continue;
    }
    if (group.size !== state.size) {
      throw new CodedError('PROTOCOL_VIOLATION', 'one hash is announced with two sizes');
    }
    group.files.push({ ...record, state });
  }
  return [...groups.values()];
}
