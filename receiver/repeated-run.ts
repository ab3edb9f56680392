/** Runs something again and again, never two at once; `run` never rejects. `stop` lets the one that is under way see it and end. */
export function startRepeatedRun(
  run: (isStopped: () => boolean) => Promise<void>,
  { firstMs, everyMs }: { firstMs: number; everyMs: number },
): { stop(): Promise<void> } {
  let stopped = false;
  let running: Promise<void> = Promise.resolve();
  const begin = (): void => {
    running = running.then(async () => run(() => stopped));
  };
  const first = setTimeout(begin, firstMs);
  const interval = setInterval(begin, everyMs);
  return {
    stop: async () => {
      stopped = true;
      clearTimeout(first);
      clearInterval(interval);
      await running;
    },
  };
}
