/** Every place where a fault test may kill the process; `docs/architecture.md#tests` says how. */
export const crashPoints = [
  'store.staged',
  'store.content-synced',
  'store.incoming-synced',
  'store.intent-written',
  'store.intent-synced',
  'store.version-linked',
  'store.versions-synced',
  'store.removed',
  'store.pruned',
  'store.renamed',
  'store.current-synced',
  'store.expired',

  'store.commit-written',
  'store.commit-synced',
  'store.indexed',
  'store.segment-added',
  'store.snapshot-written',
  'store.snapshot-renamed',
  'store.snapshot-indexed',
  'store.tail-rewritten',
  'store.replayed',
  'points.signature-written',
  'points.record-written',
  'points.fact-written',
  'points.fact-synced',
  'points.file-removed',
  'points.facts-replaced',
  'succession.key-adopted',
  'succession.written',
  'succession.key-removed',
  'seal.pack-written',
  'seal.pack-indexed',
  'seal.root-written',
  'seal.root-indexed',
  'seal.signature-written',
  'seal.record-written',
  'seal.version-indexed',
  'seal.spool-left',
  'seal.spool-removed',
  'seal.epoch-started',
  'restore.part-written',
  'restore.written',
  'restore.stamped',
  'restore.named',
  'restore.directory-finished',
] as const;

export type CrashPoint = (typeof crashPoints)[number];

const wanted = /^(?<name>[a-z.-]+):(?<count>\d+)$/.exec(process.env['MASTOKEEP_CRASH_AT'] ?? '')?.groups;
let left = Number(wanted?.['count'] ?? 0);

/** Kills this very process with SIGKILL at the count-th pass when `MASTOKEEP_CRASH_AT=name:count` says so; otherwise nothing. */
export function crashPoint(name: CrashPoint): void {
  if (wanted === undefined || name !== wanted['name']) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}
