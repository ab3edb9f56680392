import type { VersionRetention } from '../retention/version-retention.ts';
import { HeldContent } from './held-content.ts';
import { MirrorStore } from './mirror-store.ts';
import { openStore, type StoreDeps, type StoreOptions } from './open-store.ts';
import type { HeldCopy } from './readable-content.ts';
import { salvage } from './salvage.ts';
import { mirrorLayout } from './store-layout.ts';

export type MirrorStoreDeps = StoreDeps & {
  /** Copies in the other folders of the same agent; null: there are none, or no other folder. */
  copiesElsewhere: ((hash: Buffer) => readonly HeldCopy[]) | null;
};

export type MirrorStoreOptions = StoreOptions & { retention: VersionRetention };

/**
 * Opens the store of one mirror folder, making it where there is none. When it resolves, a batch that a crash cut off
 * is completed, the database says what the journal says, and all of that is durable.
 * @throws CodedError ALREADY_RUNNING, HOME_INVALID (another agent's, folder's or kind's data), STORE_FULL, DISK_FAILED
 */
export async function openMirrorStore(
  deps: MirrorStoreDeps,
  options: MirrorStoreOptions,
): Promise<MirrorStore> {
  const layout = mirrorLayout(options.directory);
  const parts = await openStore(deps, options, {
    folders: 'mirror',
    format: 'mastokeep-mirror-journal',
    layout,
    holdsFiles: (disk) => disk.list(layout.current).length + disk.list(layout.versions).length > 0,
    salvage,
  });
  const held = new HeldContent({ ...deps, index: parts.index }, layout);
  return new MirrorStore({ ...parts, held, retention: options.retention });
}
