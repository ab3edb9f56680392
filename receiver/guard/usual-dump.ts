import { medianOf } from './median.ts';

/** A version of a sealed folder. `bytes`: of all packs that it needs; `receivedAt`: ms, the receiver's clock. */
export type DumpFact = {
  number: number;
  epoch: string;
  receivedAt: number;
  bytes: number;
  complete: boolean;
};

/** `until`: what was received later is what is judged. `acceptedAt`: a person said that what there was then is as it should be. */
export type DumpHistory = { until: number; acceptedAt: number | null; windowMs: number };

const windowsMax = 14;

/**
 * The complete dumps by which later ones are judged: received until `until`, of the last fortnight's worth of windows in which
 * any came; of those before `acceptedAt` only the last one. Order as given.
 */
export function earlierDumps(
  dumps: readonly DumpFact[],
  { until, acceptedAt, windowMs }: DumpHistory,
): DumpFact[][] {
  const complete = dumps.filter((dump) => dump.complete && dump.receivedAt <= until);
  const acceptedUntil = acceptedAt ?? -Infinity;
  const lastAccepted = complete.reduce(
    (last, { receivedAt }) => (receivedAt <= acceptedUntil ? Math.max(last, receivedAt) : last),
    -Infinity,
  );
  const windows = Map.groupBy(
    complete.filter(({ receivedAt }) => receivedAt >= lastAccepted),
    ({ receivedAt }) => Math.floor((until - receivedAt) / windowMs),
  );
  return [...windows]
    .sort(([a], [b]) => a - b)
    .slice(0, windowsMax)
    .map(([, inWindow]) => inWindow);
}

/**
 * How large a dump usually is: the median over windows of the median in each, so that many dumps at once weigh as one.
 * Null where none came before.
 */
export function usualDumpBytes(earlier: readonly (readonly DumpFact[])[]): number | null {
  return medianOf(earlier.flatMap((inWindow) => medianOf(inWindow.map(({ bytes }) => bytes)) ?? []));
}
