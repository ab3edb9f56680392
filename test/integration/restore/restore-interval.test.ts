import { afterEach, expect, it } from 'vitest';
import { ReceiverSession } from '../../../agent/restore/receiver-session.ts';
import { historyOfStores } from '../../../receiver/serve/restore-history.ts';
import { RestoreLeases } from '../../../receiver/serve/restore-lease.ts';
import { serveRestore } from '../../../receiver/serve/restore-session.ts';
import type { MirrorStore } from '../../../receiver/store/mirror-store.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';
import { silentLogger } from '../../../shared/io/logger.ts';
import { createChannelPair } from '../../support/channel-pair.ts';
import { FeedFake, indexA, indexB, storeFixture } from '../../support/store-fixture.ts';

let store: MirrorStore;

afterEach(async () => {
  await store.close();
});

it('lists what a mirror folder held in an interval of the sequences, not at a time', async () => {
  store = await storeFixture().open();
  const feed = new FeedFake(() => store);
  await feed.send({ kept: 'one', deleted: 'two' });
  await feed.send({ deleted: null, later: 'three' });
  const grant = { role: 'restore', agentId: 'AGENT' as DeviceId } as const;
  const [restorer, served] = createChannelPair({ firstGrant: grant, secondGrant: grant });
  const serving = serveRestore({
    channel: served,
    openHistory: async () => historyOfStores(new Map([['media', store]])),
    leases: new RestoreLeases(Date.now),
    now: Date.now,
    programVersion: 'test',
    logger: silentLogger,
  });
  const session = new ReceiverSession(restorer, { programVersion: 'test', answerTimeoutMs: 60_000 });
  const list = async (indexId: Buffer, from: number, to: number): Promise<string[]> => {
    const between = { indexId, from, to };
    const page = await session.browse({ folder: 'media', at: null, between, after: null });
    return page.entries.map(({ path }) => path);
  };
  expect(await list(indexA, 2, 2)).toEqual(['deleted', 'kept']);
  expect(await list(indexA, 2, 4)).toEqual(['deleted', 'kept', 'later']);
  expect(await list(indexA, 4, 4)).toEqual(['kept', 'later']);
  expect(await list(indexB, 4, 4)).toEqual([]);
  session.close();
  await serving;
});
