import { setTimeout as delay } from 'node:timers/promises';
import { CodedError } from '../shared/errors/coded-error.ts';
import type { DeviceId } from '../shared/identity/device-id.ts';
import type { ScanSummary } from './agent-commands.ts';

const obstaclesMax = 5;

/** A folder whose state is waited for. */
type AwaitedFeed = {
  readonly folderId: string;
  indexId(): Buffer;
  acknowledgedBy(receiverId: DeviceId): number;
};

type Deps = {
  /** Full scans begun by the call. */
  scan(): Promise<ScanSummary[]>;
  feed(folderId: string): AwaitedFeed;
  /** Of each sealed folder that has a version, one that tells whether a receiver holds its latest as of now, durably. */
  latestVersions(): readonly ((receiverId: DeviceId) => boolean)[];
  receivers(): DeviceId[];
  /** For people: what keeps copies from being made now. */
  obstacles(): string[];
  pollIntervalMs: number;
};

/**
 * Resolves when full scans begun by this call have ended, and all that they found and the latest version of every sealed
 * folder as of then are durable on that many receivers. An index that is renewed meanwhile counts anew.
 * @throws CodedError TIMED_OUT, what the scans throw, the signal's reason
 */
export async function waitForCopies(
  deps: Deps,
  options: { copies: number; timeoutMs: number; signal: AbortSignal },
): Promise<ScanSummary[]> {
  const { copies } = options;
  const timeout = AbortSignal.timeout(Math.min(options.timeoutMs, 2 ** 31 - 1));
  const signal = AbortSignal.any([timeout, options.signal]);
  let reached = -1;
  try {
    for (;;) {
      const summaries = await unlessAborted(deps.scan(), signal);
      const targets = summaries.map(({ id, sequence }) => {
        const feed = deps.feed(id);
        return { feed, indexId: feed.indexId(), sequence };
      });
      const versions = deps.latestVersions();
      while (targets.every(({ feed, indexId }) => feed.indexId().equals(indexId))) {
        reached = deps
          .receivers()
          .filter(
            (receiverId) =>
              targets.every(({ feed, sequence }) => feed.acknowledgedBy(receiverId) >= sequence) &&
              versions.every((isHeldBy) => isHeldBy(receiverId)),
          ).length;
        if (reached >= copies) return summaries;
        await delay(deps.pollIntervalMs, undefined, { signal });
      }
    }
  } catch (error) {
    if (options.signal.aborted) throw options.signal.reason;
    if (!timeout.aborted) throw error;
    const seconds = Math.round(options.timeoutMs / 1000);
    throw new CodedError(
      'TIMED_OUT',
      reached < 0
        ? `the scan did not end within ${seconds} s`
        : `durable on ${reached} of ${copies} receivers after ${seconds} s`,
      {
        hint: [
          ...deps.obstacles().slice(0, obstaclesMax),
          '"mastokeep-agent status" shows what is missing where',
        ].join('\n'),
      },
    );
  }
}

async function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Whichever lost may still fail; nobody listens any more.
    work.catch(() => {});
    aborted.catch(() => {});
  }
}
