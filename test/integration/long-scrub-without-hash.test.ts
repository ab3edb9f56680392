import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { inFile } from '../../receiver/scrub/scrub-position.ts';
import { bytesPerFile } from '../../receiver/store/content-check.ts';
import { longContent, LongScrubBench } from '../support/long-scrub-bench.ts';

const size = 2000;
let bench: LongScrubBench;

beforeEach(async () => {
  bench = new LongScrubBench();
  await bench.begin({ long: longContent('long', size), 'long-too': longContent('another', size) });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await bench.end();
});

it('reads long files in one go as long as there is no memory for the hash that can be kept, and tells of it once', async () => {
  const noMemory = new RangeError('WebAssembly.instantiate(): Out of memory');
  const instantiate = vi.spyOn(WebAssembly, 'instantiate').mockRejectedValue(noMemory);
  bench.rotting.rot.set('current/long-too', { wrongAt: [1999] });
  const half = { identity: 'x', offset: 1024, hash: 'AAAA', first: null, starts: 1 };
  bench.at = inFile('files:long', half);
  bench.counted = bytesPerFile + 1024;
  await bench.finish();
  expect(bench.counted).toBe(2 * (bytesPerFile + size));
  expect(bench.rotting.takeRead('current/long')).toBe(size);
  expect(bench.rotting.takeRead('current/long-too')).toBe(2 * size);
  expect(bench.found).toEqual(['long-too (changed)']);
  expect(bench.log.lines.filter(({ level }) => level === 'warn')).toMatchObject([{ err: noMemory }]);
  instantiate.mockRestore();
  bench.at = 'files';
  await bench.stepInto('files:long', 1024);
  expect(bench.rotting.takeRead('current/long')).toBe(1024);
});
