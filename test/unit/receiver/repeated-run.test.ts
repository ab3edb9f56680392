import { expect, it } from 'vitest';
import { startRepeatedRun } from '../../../receiver/repeated-run.ts';

it('runs again and again, never two at once, until it is stopped, and waits for the one that is under way', async () => {
  let running = 0;
  let most = 0;
  let runs = 0;
  let stopsSeen = 0;
  const third = Promise.withResolvers<void>();
  const repeated = startRepeatedRun(
    async (isStopped) => {
      running += 1;
      most = Math.max(most, running);
      runs += 1;
      if (runs === 3) third.resolve();
      // the next ones are due meanwhile
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (isStopped()) stopsSeen += 1;
      running -= 1;
    },
    { firstMs: 1, everyMs: 1 },
  );
  await third.promise;
  await repeated.stop();
  expect([most, running]).toEqual([1, 0]);
  expect(stopsSeen).toBeGreaterThan(0);
  const runsThen = runs;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(runs).toBe(runsThen);
});
