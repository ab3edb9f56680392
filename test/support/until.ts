import { setTimeout as delay } from 'node:timers/promises';

type UntilOptions = {
  timeoutMs?: number;
  /** At most; it asks more often at first. */
  everyMs?: number;
  explain?: () => string;
};

/**
 * Asks `probe` again and again until it gives something other than null, false or undefined, and gives that.
 * For things that announce themselves by no event. Throws after `timeoutMs`, with what `explain` says.
 */
export async function until<T>(
  what: string,
  probe: () => T | null | undefined | false | Promise<T | null | undefined | false>,
  options: UntilOptions = {},
): Promise<T> {
  const { timeoutMs = 120_000, everyMs = 50, explain = () => '' } = options;
  const deadline = performance.now() + timeoutMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(2 * pauseMs, everyMs)) {
    const found = await probe();
    if (found !== null && found !== undefined && found !== false) return found;
    if (performance.now() > deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${what}\n${explain()}`.trimEnd());
    }
    await delay(pauseMs);
  }
}
