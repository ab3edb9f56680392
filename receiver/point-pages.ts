import type { DeviceId } from '../shared/identity/device-id.ts';
import type { HeldPoints } from '../shared/protocol/held-points.ts';
import { limits } from '../shared/protocol/limits.ts';
import { pathBytesMax } from '../shared/records/relative-path.ts';
import type { AgentCopies } from './agent-copies.ts';
import type { PointBooks, ProvedPoint } from './point-books.ts';
import type { RestorePoints } from './serve/restore-history.ts';

/** A page stays far below a message. */
const pageBytes = 1024 * 1024;

type WirePoint = HeldPoints['points'][number];

/** The restore points that are held of an agent, as a restore is told of them. */
export function pointPagesOf(
  { points, copies }: { points: PointBooks; copies: AgentCopies },
  agentId: DeviceId,
): RestorePoints {
  return {
    page: async (after, limit) => {
      const held: WirePoint[] = [];
      let room = pageBytes;
      let last: { id: string; signer: string } | null = null;
      const keyOf = (signer: string | undefined): Buffer | null => {
        const key = copies.signersOf(agentId).find(({ deviceId }) => deviceId === signer)?.key;
        return key?.export({ type: 'spki', format: 'der' }) ?? null;
      };
      for await (const { point, files } of points.listAfter(agentId, after)) {
        const entry = wirePoint(point, files);
        const signer = point.record.agent;
        room -= bytesOf(entry);
        // a page has one signer
        if (last !== null && (held.length === limit || room < 0 || last.signer !== signer))
          return { agentKey: keyOf(last.signer), points: held, next: last.id };
        held.push(entry);
        last = { id: point.id, signer };
      }
      return { agentKey: keyOf(last?.signer), points: held, next: null };
    },
    lacking: (query) => points.lacking(agentId, query),
  };
}

/** Of all parts together only so many paths are named. */
function wirePoint(point: ProvedPoint, files: { record: Buffer; signature: Buffer }): WirePoint {
  let named = 0;
  const parts = point.proof.parts.map(({ proof }) => {
    const { state, bytes } = proof;
    if (state !== 'incomplete') return { state, files: 0, bytes, lacking: [] };
    const lacking = proof.paths.slice(0, limits.lackingPathsMax - named);
    named += lacking.length;
    return { state, files: proof.files, bytes, lacking };
  });
  return { ...files, receivedAt: point.wallAt, pin: point.pin?.label ?? null, parts };
}

/** The most that it may take on the wire. */
function bytesOf({ record, signature, parts }: WirePoint): number {
  const paths = parts.reduce((sum, { lacking }) => sum + lacking.length, 0);
  return record.length + signature.length + 1024 + parts.length * 64 + paths * (pathBytesMax + 8);
}
