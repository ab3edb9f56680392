import type { DeviceId } from '../shared/identity/device-id.ts';
import { displayPath } from '../shared/records/relative-path.ts';
import type { ProvedPoint } from './point-books.ts';
import type { PartProof } from './points/folder-evidence.ts';

/** `lacking`: the first of the files that are proved not to be all here. */
type ListedPart = { id: string; state: PartProof['state']; bytes: number | null; lacking: string[] } & (
  | { version: number }
  | { from: number; to: number }
);

/** A restore point as `points --json` prints it. Times are ISO 8601. */
export type PointListing = {
  id: string;
  agent: string;
  /** When the point was begun, by the agent's clock. */
  at: string;
  receivedAt: string;
  complete: boolean;
  /** 0 when complete; null when it is not known of some folder. */
  incompleteFiles: number | null;
  pinned: boolean;
  pin: { label: string; by: 'agent' | 'owner' } | null;
  folders: ListedPart[];
};

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
