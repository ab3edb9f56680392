import { type HistoryStore, historyOfStores } from '../../receiver/serve/restore-history.ts';
import { RestoreLeases } from '../../receiver/serve/restore-lease.ts';
import { serveRestore } from '../../receiver/serve/restore-session.ts';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { type ChannelPairOptions, createChannelPair } from './channel-pair.ts';
import { noHeldPoints } from './no-held-points.ts';

/** Changes what a receiver lists. */
export type Lie = (entries: ReturnType<SealedStore['entriesAt']>['entries']) => void;

/** What a receiver serves of a sealed store. */
export function heldFolder(store: SealedStore, lie: Lie = () => {}): HistoryStore {
  return {
    kind: 'sealed',
    usage: () => ({ files: store.usage().versions, bytes: store.usage().bytes }),
    changedAt: () => store.changedAt(),
    entriesAt: (query) => {
      const page = store.entriesAt(query);
      lie(page.entries);
      return page;
    },
    contentBetween: null,
    copies: (hash: Buffer) => store.copies(hash),
  };
}

/** Links to a receiver that serves a sealed store to a restore, and the folders `beside` it. */
export function sealedReceiver(
  store: SealedStore,
  {
    agentId,
    folder,
    lie,
    beside = [],
    now = Date.now,
    ...options
  }: {
    agentId: DeviceId;
    folder: string;
    lie?: Lie;
    beside?: Iterable<[string, HistoryStore]>;
    now?: () => number;
  } & Pick<ChannelPairOptions, 'onMessage'>,
): () => Promise<Channel> {
  const stores = new Map<string, HistoryStore>([[folder, heldFolder(store, lie)], ...beside]);
  const history = historyOfStores(stores, noHeldPoints);
  const grant = { role: 'restore', agentId } as const;
  return async () => {
    const [restorer, served] = createChannelPair({ ...options, firstGrant: grant, secondGrant: grant });
    void serveRestore({
      channel: served,
      openHistory: async () => history,
      leases: new RestoreLeases(now),
      now,
      programVersion: 'test',
      logger: silentLogger,
    });
    return restorer;
  };
}
