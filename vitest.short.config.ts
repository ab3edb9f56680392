import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { ClosingLineReporter } from '/work/wt/short/test/support/closing-line-reporter.ts';

/**
 * What the units in README.md set for the programs as well. Tests start them many hundred times: half of what a start
 * costs is compiling the same files again.
 */
const env = {
  NODE_COMPILE_CACHE: path.join(import.meta.dirname, 'node_modules/.cache/compiled'),
  MALLOC_ARENA_MAX: '2',
};

/** One project a kind of test; the kinds are described in docs/architecture.md#tests. */
const project = (name: string, testTimeoutMs: number) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    setupFiles: ['/tmp/short-m/cpu-setup.ts', 'test/support/after-each-file.ts'],
    testTimeout: testTimeoutMs,
    hookTimeout: testTimeoutMs,
    pool: 'forks' as const,
    env,
  },
});

export default defineConfig({
  test: {
    maxWorkers: 2,
    reporters: ['default', new ClosingLineReporter()],
    projects: [
      project('unit', 30_000),
      project('integration', 60_000),
      project('fault', 300_000),
      project('e2e', 600_000),
    ],
  },
});
