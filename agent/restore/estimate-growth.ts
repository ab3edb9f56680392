import fs from 'node:fs';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { fsPath } from '../../shared/records/relative-path.ts';
import type { FolderPlan, PlannedFile } from './restore-plan.ts';
import { temporaryFileName } from './temporary-file.ts';

const blockBytes = 4096;
/** What `blocks` of a stat counts in. */
const statBlockBytes = 512;
const filesPerTurn = 1000;

/**
 * What the plan may add to the disk below `target`, in bytes and files: files of the same size as planned are taken to
 * be there already, and what an interrupted run has written of others is not needed again. Reads only.
 */
export async function estimateGrowth(
  plan: FolderPlan,
  target: string,
): Promise<{ bytes: number; files: number }> {
  const exists = fs.existsSync(target);
  let bytes = 0;
  let files = 0;
  for (const [at, file] of plan.files.entries()) {
    if (at % filesPerTurn === filesPerTurn - 1) await turn();
    const { size } = file.state;
    const place = fsPath(target, file.path);
    const found = exists ? statOrNull(place) : null;
    if (found?.isFile() === true && found.size === size) continue;
    const needed = Math.ceil(size / blockBytes) * blockBytes;
    bytes += exists ? Math.max(0, needed - bytesBegun(place, file)) : needed;
    files += 1;
  }
  if (!exists) {
    files += plan.directories.length + plan.symlinks.length;
    bytes += plan.directories.length * blockBytes;
  }
  return { bytes, files };
}

/** What is on the disk of the file's temporary content. */
function bytesBegun(place: Buffer, file: PlannedFile): number {
  const directory = place.subarray(0, place.lastIndexOf(path.sep) + 1);
  const found = statOrNull(Buffer.concat([directory, Buffer.from(temporaryFileName(file))]));
  return found?.isFile() === true ? found.blocks * statBlockBytes : 0;
}

/** Null also where the path is too long for one call or in a directory that is closed to us: the restore itself gets there. */
function statOrNull(place: Buffer): fs.Stats | null {
  try {
    return fs.lstatSync(place, { throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}
