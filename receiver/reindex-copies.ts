import type { DeviceId } from '../shared/identity/device-id.ts';
import type { AgentCopies } from './agent-copies.ts';

/** What became of the folders; `closed`: those that are on the disk, could not be opened and were passed over. */
export type Reindexed = {
  folders: { agent: DeviceId; id: string; files: number | null; versions: number }[];
  closed: { agent: DeviceId; id: string }[];
};

/**
 * Builds the databases of all open folders again from their plain files, and begins those anew that are gone from the disk.
 * `withoutSession` runs its action while nothing is pulled from the agent.
 */
export async function reindexCopies(
  copies: AgentCopies,
  withoutSession: (agentId: DeviceId, action: () => Promise<void>) => Promise<void>,
): Promise<Reindexed> {
  const folders: Reindexed['folders'] = [];
  const vanished = copies.places.vanished();
  for (const agentId of new Set([...copies.agentIds(), ...vanished.map((copy) => copy.agentId)])) {
    await withoutSession(agentId, async () => {
      const lost = vanished.filter((copy) => copy.agentId === agentId).map(({ folder }) => folder);
      for (const id of [...copies.foldersOf(agentId).map(([folder]) => folder), ...lost]) {
        const store = await copies.reindex(agentId, id);
        const files = store.kind === 'sealed' ? null : store.usage().files;
        folders.push({ agent: agentId, id, files, versions: store.usage().versions });
      }
    });
  }
  return { folders, closed: copies.closed().map(({ agentId, folder }) => ({ agent: agentId, id: folder })) };
}
