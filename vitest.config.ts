import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { ClosingLineReporter } from './test/support/closing-line-reporter.ts';
import { scratchPlace } from './test/support/scratch-place.ts';

const scratch = scratchPlace();

/**
 * What the units in README.md set for the programs as well. Tests start them many hundred times: half of what a start
 * costs is compiling the same files again.
 */
const env = {
  NODE_COMPILE_CACHE: path.join(import.meta.dirname, 'node_modules/.cache/compiled'),
  MALLOC_ARENA_MAX: '2',
  TMPDIR: scratch.directory,
  MASTOKEEP_TEST_DISK: scratch.disk,
};

/**
 * One project a kind of test; the kinds are described in docs/architecture.md#tests. The times are for a machine that
 * is busy with other things as well: nothing but a test that hangs comes near them.
 */
const project = (name: string, testTimeoutMs: number, options: { isolate?: boolean } = {}) => ({
  test: {
    name,
    ...options,
    include: [`test/${name}/**/*.test.ts`],
    setupFiles: ['test/support/after-each-file.ts'],
    testTimeout: testTimeoutMs,
    hookTimeout: testTimeoutMs,
    pool: 'forks' as const,
    env,
  },
});

export default defineConfig({
  test: {
    maxWorkers: 3,
    reporters: ['default', new ClosingLineReporter()],
    projects: [
      // Pure functions: their files share a process, because loading the same modules again took half of the time.
      project('unit', 120_000, { isolate: false }),
      project('integration', 300_000),
      project('fault', 900_000),
      project('e2e', 1_800_000),
    ],
  },
});
