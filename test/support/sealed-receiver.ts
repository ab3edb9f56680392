import { historyOfStores } from '../../receiver/serve/restore-history.ts';
import { RestoreLeases } from '../../receiver/serve/restore-lease.ts';
import { serveRestore } from '../../receiver/serve/restore-session.ts';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { createChannelPair } from './channel-pair.ts';

/** Changes what a receiver lists. */
export type Lie = (entries: ReturnType<SealedStore['entriesAt']>['entries']) => void;

/** Links to a receiver that serves one sealed store to a restore. */
export function sealedReceiver(
  store: SealedStore,
  { agentId, folder, lie = () => {} }: { agentId: DeviceId; folder: string; lie?: Lie },
): () => Promise<Channel> {
  const held = {
    kind: 'sealed' as const,
    usage: () => ({ files: store.usage().versions, bytes: store.usage().bytes }),
    changedAt: () => store.changedAt(),
    entriesAt: (query: Parameters<SealedStore['entriesAt']>[0]) => {
      const page = store.entriesAt(query);
      lie(page.entries);
      return page;
    },
    copies: (hash: Buffer) => store.copies(hash),
  };
  const history = historyOfStores(new Map([[folder, held]]));
  const grant = { role: 'restore', agentId } as const;
  return async () => {
    const [restorer, served] = createChannelPair({ firstGrant: grant, secondGrant: grant });
    void serveRestore({
      channel: served,
      openHistory: async () => history,
      leases: new RestoreLeases(Date.now),
      now: Date.now,
      programVersion: 'test',
      logger: silentLogger,
    });
    return restorer;
  };
}
