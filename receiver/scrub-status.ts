import type { ScrubReport, ScrubStatus } from './receiver-commands.ts';
import type { ScrubProgress, ScrubResult } from './scrub/scrubber.ts';

export function scrubStatus({ coveredAt, startedAt, ...rest }: ScrubProgress): ScrubStatus {
  return {
    ...rest,
    coveredAt: coveredAt === null ? null : new Date(coveredAt).toISOString(),
    startedAt: new Date(startedAt).toISOString(),
  };
}

export function scrubReport({ startedAt, subjects, ...rest }: ScrubResult): ScrubReport {
  return { ...rest, startedAt: new Date(startedAt).toISOString(), folders: subjects };
}
