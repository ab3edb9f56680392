import fs from 'node:fs';
import path from 'node:path';
import { compareTrees, formatDifferences, type TreeDifference } from '../support/tree-compare.ts';
import { DemoError } from './demo-error.ts';
import { isCache } from './media-source.ts';
import { formatBytes, type Narrator } from './narrator.ts';

/**
 * Compares every byte, mode, time and link and says so. Differences at paths that changed after `livingSince` (ms)
 * are named and forgiven: a live directory goes on while it is copied.
 * @throws DemoError when there is any other difference
 */
export function compareWithRestored(
  expected: string,
  restored: string,
  narrator: Narrator,
  livingSince?: number,
): void {
  const comparison = compareTrees(expected, restored, {
    ignore: isCache,
    emptyDirectories: livingSince === undefined,
  });
  const changed = (difference: TreeDifference): boolean =>
    livingSince !== undefined && changedSince(expected, difference.path, livingSince);
  const living = comparison.differences.filter((difference) => changed(difference));
  const wrong = comparison.differences.filter((difference) => !changed(difference));
  if (comparison.unreadable.length > 0) {
    narrator.say(`${comparison.unreadable.length} files may not be read by you and were left out`);
  }
  if (living.length > 0) narrator.say(`changed while this ran:\n${formatDifferences(living)}`);
  if (wrong.length > 0) {
    throw new DemoError(`${wrong.length} differences:\n${formatDifferences(wrong)}`, 'please report this', 1);
  }
  narrator.good(
    `compared with ${expected}: ${comparison.files} files, ${formatBytes(comparison.bytes)}, every byte, mode and time is the same`,
  );
}

function changedSince(root: string, file: string, sinceMs: number): boolean {
  const full = Buffer.concat([Buffer.from(`${root}${path.sep}`), Buffer.from(file, 'latin1')]);
  const stat = fs.lstatSync(full, { throwIfNoEntry: false });
  return stat === undefined || stat.ctimeMs >= sinceMs;
}
