const mib = 1024 * 1024;

/**
 * How much of a mirror folder may be deleted or rewritten within the window. It is too much when at least `share` of what there
 * was is gone and that is at least `files` or `bytes`, each counted by itself; or `filesMax` or `bytesMax`, whatever the share is
 * (null: no such bound).
 */
export type ChangeRule = {
  share: number;
  files: number;
  bytes: number;
  filesMax: number | null;
  bytesMax: number | null;
};

/** A dump is too small when it lacks at least `share` of what is usual, and at least so many bytes. */
export type ShrinkRule = { share: number; bytes: number };

/** Too much comes when it is `times` what is usual within a window, so many whole `dumps`, and at least so many bytes. */
export type SurgeRule = { times: number; dumps: number; bytes: number };

/** What freezes expiry; null or false: that guard is off. `windowMs`: the time in which things count as sudden. */
export type GuardRules = {
  windowMs: number;
  changes: ChangeRule | null;
  shrinking: ShrinkRule | null;
  surge: SurgeRule | null;
  recipients: boolean;
};

export const defaultGuardRules: GuardRules = {
  windowMs: 86_400_000,
  changes: { share: 0.25, files: 100, bytes: 100 * mib, filesMax: null, bytesMax: null },
  shrinking: { share: 0.5, bytes: 16 * mib },
  surge: { times: 10, dumps: 2, bytes: 1024 * mib },
  recipients: true,
};
