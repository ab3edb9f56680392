import type { PackEffort } from '../../shared/sealing/pack.ts';

const thoroughBytes = 64 * 1024 * 1024;

/**
 * How hard to compress a pack before which a dump has sealed so many bytes: thoroughly all of what an hour brings, and
 * only the beginning of a first dump, which would be held up by it.
 */
export function packEffort(sealedBytes: number): PackEffort {
  return sealedBytes < thoroughBytes ? 'thorough' : 'fast';
}
