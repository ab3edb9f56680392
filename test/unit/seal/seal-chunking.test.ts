import { expect, it } from 'vitest';
import { packEffort } from '../../../agent/seal/pack-effort.ts';
import { chooseChunking, chunkingByName } from '../../../agent/seal/seal-chunking.ts';

const [mib, gib] = [1024 ** 2, 1024 ** 3];

it.each([
  [0, 4],
  [8 * gib, 4],
  [8 * gib + 1, 8],
  [32 * gib + 1, 16],
  [64 * gib + 1, 64],
  [200 * gib, 64],
])('cuts a dump of %i bytes into chunks of %i KiB on average', (bytes, averageKib) => {
  const parameters = chooseChunking(bytes);
  expect(parameters.bytesAverage).toBe(averageKib * 1024);
  expect(chunkingByName(parameters.name)).toBe(parameters);
});

it('remembers no more than about four million chunks for any dump of up to 200 GB', () => {
  for (let bytes = gib; bytes <= 200 * gib; bytes += gib)
    expect(bytes / chooseChunking(bytes).bytesAverage).toBeLessThanOrEqual(4.2e6);
});

it('knows no other parameters', () => {
  expect(chunkingByName('fastcdc-1k')).toBeNull();
});

it('compresses thoroughly what an hour brings, and a first dump only at its beginning', () => {
  expect(packEffort(0)).toBe('thorough');
  expect(packEffort(40 * mib)).toBe('thorough');
  expect(packEffort(800 * mib)).toBe('fast');
});
