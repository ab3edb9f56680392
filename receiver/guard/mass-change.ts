import type { ChangeRule } from './guard-rules.ts';

export type FileAmount = { files: number; bytes: number };

/** Of files that were there at a moment and whose content is nowhere in the folder now. */
export type GoneContents = {
  /** Nothing is at their path. */
  deleted: FileAmount;
  /** Another content is at their path. */
  rewritten: FileAmount;
};

/** `held`: all that was there at that moment. Only files with content count. */
export type FolderChange = GoneContents & { held: FileAmount };

/** Whether so much is gone that only what was there at the moment decides: worth counting that. */
export function mayBeMassChange(gone: GoneContents, rule: ChangeRule): boolean {
  return isMassChange({ ...gone, held: { files: 0, bytes: 0 } }, rule);
}

/** Whether a folder has lost or rewritten much of itself. */
export function isMassChange({ deleted, rewritten, held }: FolderChange, rule: ChangeRule): boolean {
  const { share, files, bytes, filesMax, bytesMax } = rule;
  return (
    isTooMuch(deleted.files + rewritten.files, held.files, { share, least: files, most: filesMax }) ||
    isTooMuch(deleted.bytes + rewritten.bytes, held.bytes, { share, least: bytes, most: bytesMax })
  );
}

function isTooMuch(
  gone: number,
  held: number,
  { share, least, most }: { share: number; least: number; most: number | null },
): boolean {
  if (gone <= 0) return false;
  return (gone >= least && gone >= share * held) || (most !== null && gone >= most);
}
