import type { PointListing } from '../shared/cli/point-listing.ts';
import type { DeviceId } from '../shared/identity/device-id.ts';
import { displayPath } from '../shared/records/relative-path.ts';
import type { ProvedPoint } from './point-books.ts';

/** The point as `points` shows it. */
export function listPoint(agentId: DeviceId, { id, record, wallAt, pin, proof }: ProvedPoint): PointListing {
  return {
    id,
    agent: agentId,
    at: record.createdAt,
    receivedAt: new Date(wallAt).toISOString(),
    complete: proof.complete,
    incompleteFiles: proof.incompleteFiles,
    pinned: pin !== null,
    pin,
    folders: proof.parts.map(({ part, proof: found }) => {
      const { state, bytes } = found;
      const lacking = found.state === 'incomplete' ? found.paths.map(displayPath) : [];
      const common = { id: part.id, state, bytes, lacking };
      return part.kind === 'sealed'
        ? { ...common, version: part.number }
        : { ...common, from: part.from, to: part.to };
    }),
  };
}
