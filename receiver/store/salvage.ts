import type { Disk } from '../../shared/io/disk.ts';
import type { StoreLayout } from './store-layout.ts';

/** Placeholder. */
export async function salvage(
  _deps: { disk: Disk },
  _layout: StoreLayout,
  _recovered: unknown,
): Promise<void> {}
