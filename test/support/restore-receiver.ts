import fs from 'node:fs';
import path from 'node:path';
import { type HistoryStore, historyOfStores } from '../../receiver/serve/restore-history.ts';
import { RestoreLeases } from '../../receiver/serve/restore-lease.ts';
import { serveRestore } from '../../receiver/serve/restore-session.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { parseAddress } from '../../shared/link/address.ts';
import { createInvitation } from '../../shared/link/pairing.ts';
import { PeerBook } from '../../shared/link/peer-book.ts';
import { PeerLinks } from '../../shared/link/peer-links.ts';
import { testLimits } from './link-devices.ts';
import { readTree } from './memory-history.ts';
import { noHeldPoints } from './no-held-points.ts';
import { indexA, sha256 } from './store-fixture.ts';

/** Stores by agent and folder. */
export type ReceiverStores = ReadonlyMap<DeviceId, ReadonlyMap<string, HistoryStore>>;
export type RestoreReceiver = Awaited<ReturnType<typeof startRestoreReceiver>>;

/** What a receiver does with the links of restoring devices, and nothing else of it. */
export async function startRestoreReceiver(
  bench: string,
  stores: ReceiverStores,
  options: { listen: boolean },
) {
  const home = fs.mkdtempSync(path.join(bench, 'receiver-'));
  const identity = await createDeviceIdentity(home);
  const book = PeerBook.open({ file: path.join(home, 'peers.json'), self: 'receiver' });
  const leases = new RestoreLeases(Date.now);
  const links = new PeerLinks(
    {
      identity,
      book,
      logger: silentLogger,
      onChannel: (channel) => {
        void serveRestore({
          channel,
          openHistory: async (id) =>
            historyOfStores(stores.get(id) ?? new Map<string, HistoryStore>(), noHeldPoints),
          leases,
          now: Date.now,
          programVersion: 'test',
          logger: { ...silentLogger, warn: (fields) => console.error(fields) },
        });
      },
    },
    {
      listen: options.listen ? [parseAddress('127.0.0.1:0')] : [],
      // restores follow each other faster than people make them
      limits: { ...testLimits, joinsPerMinuteMax: 1000 },
    },
  );
  const addresses = await links.start();
  return { home, identity, book, links, addresses };
}

/** Commits the tree to a store as an agent's records, in batches. */
export async function storeTree(target: MirrorStore, root: string, from = 0): Promise<number> {
  const contents = new Map<string, Buffer>();
  let sequence = from;
  const records = readTree(root, contents).map(({ path: name, state }) => {
    sequence += 1;
    return { path: name, sequence, replaces: null, state };
  });
  for (const { state } of records) {
    if (state.kind === 'file')
      target.stage(state.hash, contents.get(state.hash.toString('hex')) ?? Buffer.alloc(0));
  }
  await target.commit({
    indexId: indexA,
    records,
    missing: [],
    isHead: true,
    through: sequence,
    token: sha256(`${sequence}`),
  });
  return sequence;
}

/** A restore invitation to that receiver; `address` where it is reached by another one than it listens on. */
export function inviteToRestore(receiver: RestoreReceiver, agentId: DeviceId, address?: string): string {
  const addresses = address === undefined ? receiver.addresses : [address];
  return createInvitation(receiver, { addresses, offer: { role: 'restore', agentId } });
}
