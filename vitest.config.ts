import { defineConfig } from 'vitest/config';

/** One project a kind of test; the kinds are described in docs/architecture.md#tests. */
const project = (name: string, testTimeoutMs: number) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: testTimeoutMs,
    hookTimeout: testTimeoutMs,
    pool: 'forks' as const,
  },
});

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      project('unit', 30_000),
      project('integration', 60_000),
      project('fault', 300_000),
      project('e2e', 600_000),
    ],
  },
});
