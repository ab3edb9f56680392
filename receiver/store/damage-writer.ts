import type { Disk, DiskPath } from '../../shared/io/disk.ts';
import { parentPath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { ChangeEntry, DamageEntry, LiveState } from './journal-entry.ts';
import { isContentAt } from './readable-content.ts';
import { placeBelow, type StoreLayout } from './store-layout.ts';
import { freeNameBelow } from './version-namer.ts';

type Deps = {
  disk: Disk;
  /** What the live file of the path (`id` null), or that version, has to be. */
  stateOf(path: RelativePath, id: number | null): LiveState | null;
};

/**
 * Sets aside what a batch says is damaged, and puts what makes a damaged file whole in its place; durable when it
 * resolves. With `redo` it may have been carried out in part. The paths are those whose content the disk has lost.
 */
export async function carryOutDamage(
  deps: Deps,
  layout: StoreLayout,
  { begin, changes }: { begin: { at: number }; changes: readonly ChangeEntry[] },
  redo: boolean,
): Promise<RelativePath[]> {
  const entries = changes.filter((change): change is DamageEntry => change.type === 'damage');
  if (entries.length === 0) return [];
  const writer = new DamageWriter(deps, layout, begin.at, redo);
  for (const entry of entries) writer.carryOut(entry);
  await writer.sync();
  for (const entry of entries) writer.dropAside(entry);
  await writer.sync();
  return writer.undone;
}

class DamageWriter {
  readonly undone: RelativePath[] = [];
  readonly #deps: Deps;
  readonly #disk: Disk;
  readonly #layout: StoreLayout;
  readonly #at: number;
  readonly #redo: boolean;
  readonly #dirty = new Set<DiskPath>();

  constructor(deps: Deps, layout: StoreLayout, at: number, redo: boolean) {
    this.#deps = deps;
    this.#disk = deps.disk;
    this.#layout = layout;
    this.#at = at;
    this.#redo = redo;
  }

  carryOut(entry: DamageEntry): void {
    if (entry.found === null) {
      if (entry.temp !== null) this.#mend(entry, entry.temp);
    } else if (entry.aside !== null) this.#setAside(entry, entry.aside);
  }

  /** What is whole again needs its damaged bytes no more. */
  dropAside({ path, found, aside }: DamageEntry): void {
    if (found !== null || aside === null || this.undone.includes(path)) return;
    const place = placeBelow(this.#layout.damaged, aside);
    if (this.#disk.stat(place)?.kind === 'file') this.#disk.unlink(place);
    this.#dirty.add(placeBelow(this.#layout.damaged, parentOf(aside)));
  }

  async sync(): Promise<void> {
    const places = [...this.#dirty].filter((place) => this.#disk.stat(place)?.kind === 'directory');
    this.#dirty.clear();
    for (const place of places) await this.#disk.syncDirectory(place);
  }

  #setAside(entry: DamageEntry, aside: string): void {
    const [base, name] = this.#placeOf(entry);
    const [source, target] = [placeBelow(base, name), placeBelow(this.#layout.damaged, aside)];
    this.#ensureDirectory(this.#layout.damaged, parentOf(aside));
    this.#dirty.add(placeBelow(this.#layout.damaged, parentOf(aside)));
    this.#dirty.add(placeBelow(base, parentOf(name)));
    if (this.#redo && (this.#disk.stat(target) !== null || this.#disk.stat(source) === null)) return;
    this.#disk.rename(source, target);
  }

  #mend(entry: DamageEntry, temp: string): void {
    const [base, name] = this.#placeOf(entry);
    const [source, target] = [`${this.#layout.incoming}/${temp}`, placeBelow(base, name)];
    this.#ensureDirectory(base, parentOf(name));
    this.#dirty.add(placeBelow(base, parentOf(name)));
    if (this.#redo && !this.#isLeftToPut(entry, source, target)) return;
    if (this.#disk.stat(target) !== null) this.#moveAway(target, name);
    this.#disk.rename(source, target);
  }

  /** In a redo: whether the new content is whole and not yet in its place. What the disk lost stays damaged. */
  #isLeftToPut({ path, id }: DamageEntry, source: DiskPath, target: DiskPath): boolean {
    const state = this.#deps.stateOf(path, id);
    const isAt = (place: DiskPath): boolean =>
      state?.kind === 'file' && isContentAt(this.#disk, place, state);
    const isThere = this.#disk.stat(source) !== null;
    if (isThere && isAt(source)) return true;
    if (isThere) this.#disk.unlink(source);
    if (isThere || !isAt(target)) this.undone.push(path);
    return false;
  }

  /** The directory and those above it; what stands in the way is set aside, never followed. */
  #ensureDirectory(base: DiskPath, path: RelativePath): void {
    if (path === '') {
      if (this.#disk.stat(base) !== null) return;
      this.#disk.mkdir(base);
      this.#dirty.add(this.#layout.root);
      return;
    }
    this.#ensureDirectory(base, parentOf(path));
    const place = placeBelow(base, path);
    const found = this.#disk.stat(place);
    if (found?.kind === 'directory') return;
    if (found !== null) this.#moveAway(place, path);
    this.#disk.mkdir(place);
    this.#dirty.add(placeBelow(base, parentOf(path)));
  }

  #moveAway(place: DiskPath, path: RelativePath): void {
    const aside = freeNameBelow(this.#disk, this.#layout.damaged, path, this.#at, new Set());
    this.#ensureDirectory(this.#layout.damaged, parentOf(aside));
    this.#disk.rename(place, placeBelow(this.#layout.damaged, aside));
    this.#dirty.add(placeBelow(this.#layout.damaged, parentOf(aside)));
  }

  #placeOf({ path, name }: DamageEntry): [base: DiskPath, name: RelativePath] {
    return name === null ? [this.#layout.current, path] : [this.#layout.versions, name as RelativePath];
  }
}

function parentOf(path: string): RelativePath {
  return parentPath(path as RelativePath) ?? ('' as RelativePath);
}
