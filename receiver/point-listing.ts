import type { PointListing } from '../shared/cli/point-listing.ts';
import type { DeviceId } from '../shared/identity/device-id.ts';
import { displayPath } from '../shared/records/relative-path.ts';
import type { PointBooks, ProvedPoint } from './point-books.ts';

/** The points of these agents, or one of them, the last received first; beside them those whose files are damaged. */
export async function listPoints(
  books: PointBooks,
  agentIds: readonly DeviceId[],
  name: string | null,
): Promise<{ points: PointListing[]; damaged: { id: string; agent: string }[] }> {
  const only = name === null ? null : await books.find(name, agentIds);
  const isAsked = ({ id }: { id: string }): boolean => only === null || id === only.id;
  const points: PointListing[] = [];
  const damaged: { id: string; agent: string }[] = [];
  for (const agentId of only === null ? agentIds : [only.agentId]) {
    points.push(...(await books.list(agentId)).filter(isAsked).map(listPoint));
    const lost = books.opened(agentId)?.damaged ?? [];
    damaged.push(...lost.map((id) => ({ id, agent: agentId })).filter(isAsked));
  }
  return { points: points.toSorted((a, b) => (a.receivedAt < b.receivedAt ? 1 : -1)), damaged };
}

/** The point as `points` shows it; `agent` is the device that made it. */
function listPoint({ id, record, wallAt, pin, proof }: ProvedPoint): PointListing {
  return {
    id,
    agent: record.agent,
    at: record.createdAt,
    receivedAt: new Date(wallAt).toISOString(),
    complete: proof.complete,
    incompleteFiles: proof.incompleteFiles,
    pinned: pin !== null,
    pin,
    folders: proof.parts.map(({ part, proof: found }) => {
      const { state, bytes } = found;
      const { files, paths } = found.state === 'incomplete' ? found : { files: 0, paths: [] };
      const incompleteFiles = state === 'unknown' ? null : files;
      const common = { id: part.id, state, incompleteFiles, bytes, lacking: paths.map(displayPath) };
      return part.kind === 'sealed'
        ? { ...common, version: part.number }
        : { ...common, from: part.from, to: part.to };
    }),
  };
}
