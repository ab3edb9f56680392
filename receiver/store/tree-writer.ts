import { crashPoint } from '../../shared/io/crash-point.ts';
import { diskErrorCode, type Disk, type DiskPath, type DiskStat } from '../../shared/io/disk.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { carryOutDamage } from './damage-writer.ts';
import { inParallel } from './in-parallel.ts';
import type {
  BeginEntry,
  ChangeEntry,
  ExpireEntry,
  LiveState,
  RemoveEntry,
  SetEntry,
} from './journal-entry.ts';
import { isContentAt } from './readable-content.ts';
import { placeBelow, type StoreLayout } from './store-layout.ts';

export type IntentBatch = { begin: BeginEntry; changes: ChangeEntry[] };

type Deps = {
  disk: Disk;
  logger: Logger;
  /** Whether a directory record is alive at the path, before the batch. */
  isDirectoryRecord(path: RelativePath): boolean;
  /** A free name below `versions/` for something at the path. */
  nameVersion(path: RelativePath, at: number): string;
  /** The file below `damaged/` that has what was found damaged at the path (`id` null) or of that version, before the batch. */
  asideOf(path: RelativePath, id: number | null): string | null;
  /** What the live file, or that version, has to be. */
  stateOf(path: RelativePath, id: number | null): LiveState | null;
};

const syncsAtOnce = 16;

/**
 * Carries out a batch whose intent is on disk, in `current/` and `versions/`. With `redo` it may have been carried out
 * in part, in any part that a crash or a power cut leaves; without, the trees are as the last batch left them.
 */
export async function carryOut(
  deps: Deps,
  layout: StoreLayout,
  batch: IntentBatch,
  redo: boolean,
): Promise<{ undone: RelativePath[] }> {
  const writer = new TreeWriter(deps, layout, batch, redo);
  await writer.archive();
  await writer.change();
  await writer.expire();
  const undone = await writer.undo();
  return { undone: [...undone, ...(await carryOutDamage(deps, layout, batch, redo))] };
}

class TreeWriter {
  readonly #deps: Deps;
  readonly #disk: Disk;
  readonly #layout: StoreLayout;
  readonly #batch: IntentBatch;
  readonly #redo: boolean;
  /** Directories known to be real directories, by place. */
  readonly #known = new Set<DiskPath>();
  /** Directories made by this batch: nothing can be in the way in them. */
  readonly #made = new Set<DiskPath>();
  readonly #dirty = new Set<DiskPath>();
  readonly #undone: SetEntry[] = [];

  constructor(deps: Deps, layout: StoreLayout, batch: IntentBatch, redo: boolean) {
    this.#deps = deps;
    this.#disk = deps.disk;
    this.#layout = layout;
    this.#batch = batch;
    this.#redo = redo;
  }

  /** Gives all bytes that will be replaced or deleted their name in `versions/`; durable when it resolves. */
  async archive(): Promise<void> {
    for (const entry of this.#replacing()) {
      const name = entry.replaced?.name;
      if (name === null || name === undefined) continue;
      const [source, target] = [this.#current(entry.path), placeBelow(this.#layout.versions, name)];
      this.#ensureDirectory(this.#layout.versions, parentOf(name));
      this.#touch(this.#layout.versions, parentOf(name));
      if (this.#redo && !this.#holdsOld(entry, source, target)) continue;
      this.#link(entry.path, source, target);
      crashPoint('store.version-linked');
    }
    await this.#syncDirty();
    crashPoint('store.versions-synced');
  }

  /** Makes `current/` what the batch says; durable when it resolves. */
  async change(): Promise<void> {
    this.#removeFiles();
    for (const entry of this.#sets()) {
      if (entry.holding.state.kind !== 'directory') continue;
      this.#ensureDirectory(this.#layout.current, entry.path);
      this.#touch(this.#layout.current, parentPath(entry.path) ?? '');
    }
    for (const entry of this.#sets()) if (entry.temp !== null) this.#put(entry, entry.temp);
    await this.#syncDirty();
    crashPoint('store.current-synced');
  }

  async expire(): Promise<void> {
    const expired = this.#batch.changes.filter((change): change is ExpireEntry => change.type === 'expire');
    const removed = new Set(
      this.#batch.changes.flatMap((change) => (change.type === 'remove' ? [change.replaced.id] : [])),
    );
    for (const { path, id, name } of expired) {
      // an object of a sealed folder never was a version
      this.#dropAside(path, removed.has(id) ? null : id);
      if (name === null) continue;
      if (!this.#isPlain(this.#layout.versions, parentOf(name))) continue;
      this.#unlinkFile(placeBelow(this.#layout.versions, name));
      this.#prune(this.#layout.versions, parentOf(name), () => false);
      crashPoint('store.expired');
    }
    await this.#syncDirty();
  }

  /** Takes back what was prepared for content that the disk lost: what was at the path stays the current one. */
  async undo(): Promise<RelativePath[]> {
    for (const { path, replaced } of this.#undone) {
      if (replaced?.holding.state.kind === 'directory') this.#ensureDirectory(this.#layout.current, path);
      if (replaced === null || replaced.name === null) continue;
      const [place, version] = [this.#current(path), placeBelow(this.#layout.versions, replaced.name)];
      if (this.#disk.stat(place) === null && this.#disk.stat(version) !== null) {
        this.#ensureDirectory(this.#layout.current, parentOf(path));
        this.#disk.link(version, place);
        this.#touch(this.#layout.current, parentOf(path));
      }
    }
    await this.#syncDirty();
    for (const { replaced } of this.#undone) {
      if (replaced === null || replaced.name === null) continue;
      this.#unlinkFile(placeBelow(this.#layout.versions, replaced.name));
      this.#touch(this.#layout.versions, parentOf(replaced.name));
    }
    await this.#syncDirty();
    return this.#undone.map(({ path }) => path);
  }

  *#replacing(): Generator<SetEntry | RemoveEntry> {
    for (const change of this.#batch.changes) {
      if ((change.type === 'set' || change.type === 'remove') && change.replaced !== null) yield change;
    }
  }

  *#sets(): Generator<SetEntry> {
    for (const change of this.#batch.changes) if (change.type === 'set') yield change;
  }

  /** In a redo: whether the place still has the old bytes and they lack their name in `versions/`. */
  #holdsOld(entry: SetEntry | RemoveEntry, source: DiskPath, target: DiskPath): boolean {
    if (this.#disk.stat(target) !== null) return false;
    const found = this.#disk.stat(source);
    if (found?.kind !== 'file' || !this.#isPlain(this.#layout.current, parentOf(entry.path))) return false;
    if (entry.type === 'remove' || entry.temp === null) return true;
    const temp = this.#disk.stat(this.#incoming(entry.temp));
    return temp !== null && temp.identity !== found.identity;
  }

  #link(path: RelativePath, source: DiskPath, target: DiskPath): void {
    try {
      if (this.#isPlain(this.#layout.current, parentOf(path))) return this.#disk.link(source, target);
    } catch (error) {
      if (diskErrorCode(error) !== 'ENOENT') throw error;
    }
    this.#deps.logger.error(
      { place: shown(source) },
      'a stored file has vanished from current/; its version has no bytes',
    );
  }

  #removeFiles(): void {
    const emptied: RelativePath[] = [];
    for (const entry of this.#replacing()) {
      const kind = entry.replaced?.holding.state.kind;
      if (entry.type === 'set' && entry.holding.state.kind === 'file') continue;
      if (kind === 'file') {
        const parent = parentOf(entry.path);
        if (this.#isPlain(this.#layout.current, parent)) this.#unlinkFile(this.#current(entry.path));
        this.#touch(this.#layout.current, parent);
        crashPoint('store.removed');
      }
      if (entry.type === 'set' && entry.holding.state.kind === 'directory') continue;
      emptied.push(kind === 'directory' ? entry.path : parentOf(entry.path));
    }
    const wanted = new Map<RelativePath, boolean>();
    for (const change of this.#batch.changes) {
      if (change.type === 'remove') wanted.set(change.path, false);
      if (change.type === 'set') wanted.set(change.path, change.holding.state.kind === 'directory');
    }
    const isWanted = (path: RelativePath): boolean => wanted.get(path) ?? this.#deps.isDirectoryRecord(path);
    for (const path of new Set(emptied)) this.#prune(this.#layout.current, path, isWanted);
    crashPoint('store.pruned');
  }

  /** Removes the directory and those above it, as long as they are empty and nobody wants them. */
  #prune(base: DiskPath, path: RelativePath | string, isWanted: (path: RelativePath) => boolean): void {
    for (let at = path as RelativePath; at !== '' && !isWanted(at); at = parentOf(at)) {
      const place = placeBelow(base, at);
      this.#dirty.add(placeBelow(base, parentOf(at)));
      try {
        this.#disk.rmdir(place);
      } catch (error) {
        const code = diskErrorCode(error);
        if (code === 'ENOENT' || code === 'ENOTDIR') continue;
        if (code === 'ENOTEMPTY' || code === 'EEXIST') {
          this.#dirty.add(place);
          return;
        }
        throw error;
      }
      this.#known.delete(place);
      this.#made.delete(place);
      this.#dirty.delete(place);
    }
  }

  #put(entry: SetEntry, temp: string): void {
    const [source, target] = [this.#incoming(temp), this.#current(entry.path)];
    const parent = parentOf(entry.path);
    this.#ensureDirectory(this.#layout.current, parent);
    this.#touch(this.#layout.current, parent);
    if (this.#redo && !this.#isLeftToPut(entry, source, target)) return;
    if (!this.#made.has(placeBelow(this.#layout.current, parent))) this.#makeWay(entry, target);
    this.#disk.rename(source, target);
    crashPoint('store.renamed');
    if (entry.replaced === null) this.#dropAside(entry.path, null);
  }

  /** New bytes have come, or nobody wants them any more: the damaged ones go. */
  #dropAside(path: RelativePath, id: number | null): void {
    const aside = this.#deps.asideOf(path, id);
    if (aside === null) return;
    this.#unlinkFile(placeBelow(this.#layout.damaged, aside));
    this.#dirty.add(placeBelow(this.#layout.damaged, parentOf(aside)));
    this.#prune(this.#layout.damaged, parentOf(aside), () => false);
  }

  /** In a redo: whether the temporary file is there, whole, and not yet the content of its path. */
  #isLeftToPut(entry: SetEntry, source: DiskPath, target: DiskPath): boolean {
    const temp = this.#disk.stat(source);
    const found = this.#disk.stat(target);
    if (temp !== null && temp.identity === found?.identity) this.#disk.unlink(source);
    const renamed = temp === null || temp.identity === found?.identity;
    if (this.#isContentOf(entry, renamed ? target : source)) return !renamed;
    if (!renamed) this.#disk.unlink(source);
    // A rename that reached the disk with content that did not: what was there before comes back from versions/.
    if (renamed && found !== null && !this.#isOld(entry, found)) this.#disk.unlink(target);
    this.#undone.push(entry);
    return false;
  }

  #isOld({ replaced }: SetEntry, found: DiskStat): boolean {
    if (found.kind === 'directory') return true;
    if (replaced === null || replaced.name === null) return false;
    return this.#disk.stat(placeBelow(this.#layout.versions, replaced.name))?.identity === found.identity;
  }

  #isContentOf({ holding: { state } }: SetEntry, place: DiskPath): boolean {
    return state.kind === 'file' && isContentAt(this.#disk, place, state);
  }

  /** Moves away what nobody announced: it is not ours to destroy. */
  #makeWay({ path, replaced }: SetEntry, target: DiskPath): void {
    const found = this.#disk.stat(target);
    if (found === null) return;
    if (found.kind === 'file' && typeof replaced?.name === 'string') return;
    if (found.kind === 'directory' && this.#removeIfEmpty(target)) return;
    this.#moveAway(target, path);
  }

  #removeIfEmpty(place: DiskPath): boolean {
    try {
      this.#disk.rmdir(place);
      this.#known.delete(place);
      this.#dirty.delete(place);
      return true;
    } catch (error) {
      if (['ENOTEMPTY', 'EEXIST'].includes(diskErrorCode(error) ?? '')) return false;
      throw error;
    }
  }

  #moveAway(place: DiskPath, path: RelativePath): void {
    const name = this.#deps.nameVersion(path, this.#batch.begin.at);
    this.#ensureDirectory(this.#layout.versions, parentOf(name));
    this.#touch(this.#layout.versions, parentOf(name));
    this.#disk.rename(place, placeBelow(this.#layout.versions, name));
    for (const known of this.#known)
      if (known === place || known.startsWith(`${place}/`)) this.#known.delete(known);
    this.#deps.logger.warn(
      { place: shown(place), movedTo: shown(name) },
      'something that no agent announced stood in the way and was moved to versions/',
    );
  }

  #unlinkFile(place: DiskPath): void {
    try {
      this.#disk.unlink(place);
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR', 'EISDIR'].includes(diskErrorCode(error) ?? '')) throw error;
    }
  }

  /** Whether the directory is there and no link is on the way to it. */
  #isPlain(base: DiskPath, path: RelativePath | string): boolean {
    const place = placeBelow(base, path);
    if (path === '' || this.#known.has(place)) return true;
    if (!this.#isPlain(base, parentOf(path)) || this.#disk.stat(place)?.kind !== 'directory') return false;
    this.#known.add(place);
    return true;
  }

  /** Makes the directory and those above it; a link or a file in the way is moved away, never followed. */
  #ensureDirectory(base: DiskPath, path: RelativePath | string): void {
    const place = placeBelow(base, path);
    if (this.#known.has(place)) return;
    if (path !== '') {
      this.#ensureDirectory(base, parentOf(path));
      const found = this.#disk.stat(place);
      if (found !== null && found.kind !== 'directory') this.#moveAway(place, path as RelativePath);
      if (found?.kind !== 'directory') {
        this.#disk.mkdir(place);
        this.#made.add(place);
        this.#dirty.add(placeBelow(base, parentOf(path)));
      }
    }
    this.#known.add(place);
  }

  /** The directory has new entries. In a redo those above it may be new as well, though they are there already. */
  #touch(base: DiskPath, path: RelativePath | string): void {
    this.#dirty.add(placeBelow(base, path));
    if (!this.#redo) return;
    for (let at = path; at !== ''; at = parentOf(at)) this.#dirty.add(placeBelow(base, parentOf(at)));
  }

  async #syncDirty(): Promise<void> {
    const places = [...this.#dirty].filter((place) => this.#disk.stat(place)?.kind === 'directory');
    this.#dirty.clear();
    await inParallel(places, syncsAtOnce, (place) => this.#disk.syncDirectory(place));
  }

  #current(path: RelativePath): DiskPath {
    return placeBelow(this.#layout.current, path);
  }

  #incoming(name: string): DiskPath {
    return `${this.#layout.incoming}/${name}`;
  }
}

function parentOf(path: RelativePath | string): RelativePath {
  return parentPath(path as RelativePath) ?? ('' as RelativePath);
}

function shown(place: DiskPath): string {
  return Buffer.from(place, 'latin1').toString('utf8');
}
