import type Database from 'better-sqlite3';
import { FeedReader } from '../../agent/index/feed-reader.ts';
import { AgentQuota } from '../../receiver/store/agent-quota.ts';
import { nextBegin } from '../../receiver/store/commit-batch.ts';
import type { ChangeEntry } from '../../receiver/store/journal-entry.ts';
import { momentOf } from '../../receiver/store/moment.ts';
import { openStore } from '../../receiver/store/open-store.ts';
import { salvage } from '../../receiver/store/salvage.ts';
import { mirrorLayout } from '../../receiver/store/store-layout.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';

type StorePlaces = { directory: string; databasePath: string; agentId: string; folderId: string };

/**
 * Writes what a receiver knows after a first copy of everything that the agent's index has: the journal and the database of
 * its store, batch by batch as they are, but no file and no directory of the tree. Neither program may be running. The store
 * must have taken something of this index before.
 */
export async function fillStore(agentIndex: string, places: StorePlaces): Promise<void> {
  const layout = mirrorLayout(places.directory);
  const parts = await openStore(
    {
      disk: nodeDisk,
      logger: silentLogger,
      quota: new AgentQuota({ bytesMax: null, sealedReserve: 0 }),
      now: Date.now,
    },
    { ...places, freeSpaceFloor: 0, partialDaysMax: 7 },
    { folders: 'mirror', format: 'mastokeep-mirror-journal', layout, holdsFiles: () => true, salvage },
  );
  const agent = openDatabase(agentIndex, { readonly: true });
  try {
    await copyRecords(agent, parts, places.folderId);
  } finally {
    agent.close();
    parts.index.close();
    parts.journal.close();
    parts.lock.release();
  }
}

async function copyRecords(
  agent: Database.Database,
  { index, journal }: Pick<Awaited<ReturnType<typeof openStore>>, 'index' | 'journal'>,
  folderId: string,
): Promise<void> {
  const feed = new FeedReader(agent, folderId);
  for (;;) {
    const meta = index.meta();
    if (meta === null || meta.position === null) throw new Error('the store has taken nothing yet');
    const { indexId, sequence } = meta.position;
    const batch = feed.batchAfter(sequence);
    if (batch === null) break;
    const begin = nextBegin(meta, Date.now(), { indexId, sequence: batch.through, token: batch.token });
    const changes = batch.records.flatMap((record) => entryOf(record, indexId, begin.at));
    const numbered = { ...begin, indexNumber: 1 };
    await journal.rotate();
    journal.append([
      numbered,
      ...changes,
      { type: 'intent', batch: begin.batch, entries: changes.length },
      { type: 'commit', batch: begin.batch, undone: [] },
    ]);
    index.apply(numbered, changes, [], journal.mark);
  }
  await journal.sync();
}

function entryOf(record: FileRecord, indexId: Buffer, at: number): ChangeEntry[] {
  const { path, sequence, replaces, state } = record;
  if (state.kind === 'deleted') return [];
  const begun = momentOf(1, sequence);
  const holding = { state, indexId, sequence, replaces, receivedAt: at, begun };
  return [{ type: 'set', path, holding, namedIn: indexId, temp: null, replaced: null }];
}
