import type { PointListing } from '../shared/cli/point-listing.ts';
import { displayPath } from '../shared/records/relative-path.ts';
import type { ProvedPoint } from './point-books.ts';

/** The point as `points` shows it; `agent` is the device that made it. */
export function listPoint({ id, record, wallAt, pin, proof }: ProvedPoint): PointListing {
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
      const lacking = found.state === 'incomplete' ? found.paths.map(displayPath) : [];
      const common = { id: part.id, state, bytes, lacking };
      return part.kind === 'sealed'
        ? { ...common, version: part.number }
        : { ...common, from: part.from, to: part.to };
    }),
  };
}
