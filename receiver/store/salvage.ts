import type { Disk, DiskStat } from '../../shared/io/disk.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { BeginEntry, ChangeEntry, Holding } from './journal-entry.ts';
import { yieldToOthers } from './journal.ts';
import type { LiveRow } from './index-rows.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { laterMoment, momentOf, type Moment } from './moment.ts';
import { plainFileState } from './plain-file-state.ts';
import { salvageBegin, unknownIndexId, unknownMark } from './salvage-begin.ts';
import { placeBelow, type StoreLayout } from './store-layout.ts';
import { parseVersionName } from './version-name.ts';

type Deps = { disk: Disk; logger: Logger; now: () => number };

const changesAtOnce = 1000;
/**
 * Makes the index agree with the trees after journal lines were lost: what is in `current/` is the state, what is in
 * `versions/` and in no row becomes a version by its name, rows whose bytes are nowhere stay as history without bytes.
 * The position is dropped, so that the agent names everything again. Only the index changes; the caller writes the journal.
 */
export async function salvage(deps: Deps, layout: StoreLayout, index: MirrorIndex): Promise<void> {
  const salvager = new Salvager(deps, layout, index);
  await salvager.run();
}

/** A file of `versions/` that no row names, by what its name tells. */
type Found = { name: string; at: number; state: FileState };

class Salvager {
  readonly #deps: Deps;
  readonly #disk: Disk;
  readonly #layout: StoreLayout;
  readonly #index: MirrorIndex;
  readonly #begin: BeginEntry;
  readonly #found = new Map<RelativePath, Found[]>();
  /** When something began or ended that nothing tells of: no interval before it can be proved any more. */
  readonly #unknown: Moment;
  #changes: ChangeEntry[] = [];
  #counted = 0;

  constructor(deps: Deps, layout: StoreLayout, index: MirrorIndex) {
    this.#deps = deps;
    this.#disk = deps.disk;
    this.#layout = layout;
    this.#index = index;
    const latest = index.intervals.latest();
    this.#unknown = latest === null ? 0n : momentOf(latest.number, latest.reached);
    this.#begin = salvageBegin(index, deps.now());
  }

  async run(): Promise<void> {
    this.#apply();
    await this.#dropVersionsWithoutBytes();
    await this.#findVersions();
    await this.#compareCurrent();
    await this.#dropLiveWithoutBytes();
    for (const [path, found] of this.#found)
      for (const one of found.toSorted((a, b) => a.at - b.at)) await this.#adopt(path, one);
    this.#apply();
    this.#deps.logger.warn(
      { changes: this.#counted },
      'what the damaged journal lost was taken from the plain files',
    );
  }

  async #dropVersionsWithoutBytes(): Promise<void> {
    for (let after: RelativePath | null = null; ;) {
      const rows = this.#index.versionsAfter(after, changesAtOnce);
      if (rows.length === 0) return;
      after = rows.at(-1)?.path ?? null;
      for (const { path, replaced } of rows) {
        if (
          replaced.name === null ||
          this.#disk.stat(placeBelow(this.#layout.versions, replaced.name)) !== null
        )
          continue;
        await this.#change({ type: 'expire', path, id: replaced.id, name: replaced.name });
      }
    }
  }

  async #findVersions(): Promise<void> {
    for (const [name] of this.#files(this.#layout.versions)) {
      if (this.#index.isVersionName(name)) continue;
      const told = parseVersionName(name);
      if (told === null) continue;
      const state = plainFileState(this.#disk, placeBelow(this.#layout.versions, name));
      if (state === null) continue;
      const path = told.path as RelativePath;
      this.#found.set(path, [...(this.#found.get(path) ?? []), { name, at: told.at, state }]);
      await yieldToOthers();
    }
  }

  async #compareCurrent(): Promise<void> {
    for (const [name, stat] of this.#files(this.#layout.current)) {
      const path = name as RelativePath;
      const row = this.#index.live(path);
      const said = row?.holding.state;
      const [size, seconds] =
        said?.kind === 'file' ? [said.size, said.mtimeNs / 1_000_000_000n] : [null, null];
      if (size === stat.size && seconds === stat.mtimeNs / 1_000_000_000n) continue;
      const state = plainFileState(this.#disk, placeBelow(this.#layout.current, path));
      await yieldToOthers();
      if (state === null) continue;
      if (said?.kind === 'file' && said.hash.equals(state.hash)) continue;
      const arrivedAt = this.#arrivedAt(path, stat);
      const ended = row === null ? null : this.#ended(row);
      // it begins when what a known row had ends
      const receivedAt = Math.max(arrivedAt, ended?.replacedAt ?? 0);
      const holding = { state, ...unannounced, receivedAt, begun: this.#unknown };
      await this.#change({ type: 'set', path, holding, namedIn: unknownIndexId, temp: null, replaced: null });
      if (ended !== null) await this.#change({ type: 'version', path, ...ended });
    }
  }

  /**
   * Since when the path surely has had this content: its file got its name when it arrived, and not before what it
   * replaced left. Later than that where somebody has copied the tree since, or touched the file.
   */
  #arrivedAt(path: RelativePath, { ctimeNs }: DiskStat): number {
    const left = [
      ...this.#index.versionsOf(path).map(({ replacedAt }) => replacedAt),
      ...(this.#found.get(path) ?? []).map(({ at }) => at),
    ];
    return Math.max(Math.min(this.#begin.at, Number(ctimeNs / 1_000_000n)), ...left);
  }

  async #dropLiveWithoutBytes(): Promise<void> {
    for (let after: RelativePath | null = null; ;) {
      const rows: LiveRow[] = this.#index.liveAfter(after, changesAtOnce);
      for (const row of rows) {
        if (row.holding.state.kind !== 'file') continue;
        if (this.#disk.stat(placeBelow(this.#layout.current, row.path))?.kind === 'file') continue;
        const { path } = row;
        const { replaced, replacedAt } = this.#ended(row);
        await this.#change({ type: 'remove', path, replaced });
        if (replacedAt === this.#begin.at) continue;
        // a removal counts as of now: the version that it made gives way to one that is dated
        await this.#change({ type: 'expire', path, id: replaced.id, name: replaced.name });
        const dated = { ...replaced, id: this.#nextId() };
        await this.#change({ type: 'version', path, replaced: dated, replacedAt });
      }
      if (rows.length < changesAtOnce) return;
      after = rows.at(-1)?.path ?? null;
    }
  }

  /**
   * The version that a lost line made of the row: with its bytes and as of the time in its name, where a found file has
   * them, otherwise as of now.
   */
  #ended({ path, holding }: LiveRow) {
    const { state } = holding;
    const candidates = this.#found.get(path) ?? [];
    const same = candidates
      .filter((found) => state.kind === 'file' && found.state.hash.equals(state.hash))
      .toSorted((a, b) => a.at - b.at);
    // names tell whole seconds
    const bytes = same.find(({ at }) => at + 1000 > holding.receivedAt) ?? same[0];
    if (bytes !== undefined)
      this.#found.set(
        path,
        candidates.filter((found) => found !== bytes),
      );
    const replaced = {
      id: this.#nextId(),
      name: bytes?.name ?? null,
      holding,
      ended: laterMoment(holding.begun, this.#unknown),
    };
    const endedAt = bytes?.at ?? this.#begin.at;
    return { replaced, replacedAt: Math.min(Math.max(endedAt, holding.receivedAt), this.#begin.at) };
  }

  /** Its content arrived at some time after what the path had before; its own time of change is the best guess. */
  async #adopt(path: RelativePath, { name, at, state }: Found): Promise<void> {
    const earlier = this.#index.versionsOf(path).find(({ replacedAt }) => replacedAt <= at)?.replacedAt ?? 0;
    const receivedAt = Math.max(earlier, Math.min(Math.max(0, Number(state.mtimeNs / 1_000_000n)), at - 1));
    const holding: Holding = { state, ...unannounced, receivedAt, begun: 0n };
    await this.#change({
      type: 'version',
      path,
      replaced: { id: this.#nextId(), name, holding, ended: this.#unknown },
      replacedAt: at,
    });
  }

  async #change(change: ChangeEntry): Promise<void> {
    this.#changes.push(change);
    this.#counted += 1;
    if (this.#changes.length < changesAtOnce) return;
    this.#apply();
    await yieldToOthers();
  }

  #apply(): void {
    this.#index.apply(this.#begin, this.#changes, [], unknownMark);
    this.#changes = [];
  }

  #nextId(): number {
    this.#begin.nextVersionId += 1;
    return this.#begin.nextVersionId - 1;
  }

  *#files(base: string, below = ''): Generator<[name: string, stat: DiskStat]> {
    for (const name of this.#disk.list(placeBelow(base, below))) {
      const path = below === '' ? name : `${below}/${name}`;
      const stat = this.#disk.stat(placeBelow(base, path));
      if (stat?.kind === 'directory') yield* this.#files(base, path);
      else if (stat?.kind === 'file') yield [path, stat];
    }
  }
}

const unannounced = { indexId: unknownIndexId, sequence: 0, replaces: null };
