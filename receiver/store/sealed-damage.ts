import { sameContent, type FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { parseSealedObjectName } from '../../shared/sealing/object-name.ts';
import type { HeldContent } from './held-content.ts';
import { yieldToOthers } from './journal.ts';
import type { LackingPacks } from './lacking-packs.ts';
import type { MirrorIndex } from './mirror-index.ts';
import { noteLackingVersions, packsOf, versionFiles } from './sealed-version-files.ts';
import { versionKey, type VersionIndex } from './version-index.ts';

type Deps = { index: MirrorIndex; versions: VersionIndex; held: HeldContent; lacking: LackingPacks };

/** What a damaged object of a sealed store means for its versions. */
export class SealedDamage {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** A pack is not there, or not what it claims to be. */
  reportPack(hash: Buffer): void {
    const { held, lacking, versions } = this.#deps;
    const pack = hash.toString('hex');
    if (versions.needs(hash)) noteLackingVersions(new Set([pack]), versions.list(), held, lacking);
    else lacking.noteUnneeded(pack);
  }

  /** A pack is told to the agent as missing; nobody can say what a version needs whose record is damaged. */
  noteDamaged(path: RelativePath): void {
    const { lacking, versions } = this.#deps;
    const name = parseSealedObjectName(path);
    if (name?.kind === 'pack') this.reportPack(name.hash);
    else if (name !== null && versions.get(name.number, name.epoch) !== null)
      lacking.noteUnreadable(versionKey(name));
  }

  noteMended(path: RelativePath): void {
    const { index, lacking } = this.#deps;
    const name = parseSealedObjectName(path);
    if (name === null) return;
    if (name.kind === 'pack') lacking.noteArrival(name.hash.toString('hex'));
    else if (versionFiles(name).every((file) => index.damage.get(file, null) === null))
      lacking.noteReadable(versionKey(name));
  }

  /** Whether that is what a damaged object has to be. */
  isToMend(path: RelativePath, state: FileState): boolean {
    const { index } = this.#deps;
    const row = index.live(path);
    if (row === null || index.damage.get(path, null) === null) return false;
    return sameContent(row.holding.state, state);
  }

  /** Whether the tables of versions and packs say what the version records do: a pack that no version needs is removed. */
  async booksProblem(): Promise<string | null> {
    const { held, index, versions } = this.#deps;
    const needed = new Map<string, number>();
    for (const version of versions.list()) {
      const [record] = versionFiles(version);
      const state = index.live(record)?.holding.state;
      if (state?.kind !== 'file' || !state.hash.equals(version.hash))
        return 'the table of versions is not what the version records say';
      const packs = packsOf(version, held);
      // what a damaged record names nobody knows
      if (packs === null) return null;
      for (const pack of packs) {
        const key = pack.toString('hex');
        needed.set(key, (needed.get(key) ?? 0) + 1);
      }
      await yieldToOthers();
    }
    const counted = versions.packCounts();
    const isSame =
      counted.length === needed.size && counted.every(([pack, count]) => needed.get(pack) === count);
    return isSame ? null : 'the table of packs is not what the version records say';
  }
}
