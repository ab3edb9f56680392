import type { Disk, DiskPath } from '../../shared/io/disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { checkContent, statFile, type Pace } from './content-check.ts';
import { identifyFile } from './long-check.ts';

/** What stands in the place of damaged files, because somebody may have put the right ones back. Each is read once. */
export class PutBackFiles {
  readonly #disk: Disk;
  /** What was read and is not what it has to be, by place. */
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
    const identity = stat === null ? null : identifyFile(wanted.hash, stat);
    if (identity !== null && this.#wrong.get(place) === identity) return false;
    this.#wrong.delete(place);
    const { found } = await checkContent(this.#disk, base, path, wanted, pace);
    if (found === 'content' && identity !== null) this.#wrong.set(place, identity);
    return found === null;
  }
}
