import type { Disk, DiskPath, DiskStat } from '../../shared/io/disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { checkContent, statFile, type Pace } from './content-check.ts';

/** What stands in the place of damaged files, because somebody may have put the right ones back. What is wrong is not read again until it changes. */
export class PutBackFiles {
  readonly #disk: Disk;
  /** What was read twice and is not what it has to be, by place. */
  readonly #wrong = new Map<string, string>();

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Whether the file that has to be there is. @throws CodedError DISK_FAILED (not of the file), what `pace` throws */
  async isWhole(
    base: DiskPath,
    path: RelativePath,
    wanted: { size: number; hash: Buffer },
    pace: Pace,
  ): Promise<boolean> {
    const place = `${base}/${path}`;
    const stat = statFile(this.#disk, base, path);
    const identity = stat === null ? null : identifyFile(wanted, stat);
    if (identity !== null && this.#wrong.get(place) === identity) return false;
    this.#wrong.delete(place);
    const first = await checkContent(this.#disk, base, path, wanted, pace);
    if (first.found !== 'content') return first.found === null;
    // what a cable or the memory garbled once must not count for ever
    const { found } = await checkContent(this.#disk, base, path, wanted, pace);
    if (found === 'content' && identity !== null) this.#wrong.set(place, identity);
    return found === null;
  }
}

/** By all that changes where somebody has touched it: it costs nothing but reading once more. */
function identifyFile({ hash }: { hash: Buffer }, { size, mtimeNs, ctimeNs }: DiskStat): string {
  return `${hash.toString('hex')} ${size} ${mtimeNs} ${ctimeNs}`;
}
