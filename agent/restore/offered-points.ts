import { createPublicKey, type KeyObject } from 'node:crypto';
import type { PointListing } from '../../shared/cli/point-listing.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { deviceIdOfKey, type DeviceId } from '../../shared/identity/device-id.ts';
import type { HeldPoints } from '../../shared/protocol/held-points.ts';
import { displayPath, type RelativePath } from '../../shared/records/relative-path.ts';
import { pointId, verifyPointRecord, type PointRecord } from '../../shared/sealing/point-record.ts';
import type { RestoreLink } from './restore-link.ts';

type PointPart = PointRecord['folders'][number];

/** What the receiver says that it can prove of a folder of a point. */
export type OfferedPart = {
  part: PointPart;
  state: 'complete' | 'incomplete' | 'unknown';
  files: number;
  bytes: number | null;
  lacking: readonly RelativePath[];
};

/** A restore point whose signature was verified. `receivedAt`: ms by the receiver's clock; `pin`: the label. */
export type OfferedPoint = {
  id: string;
  record: PointRecord;
  receivedAt: number;
  pin: string | null;
  complete: boolean;
  /** 0 when complete; null where something is not known. */
  incompleteFiles: number | null;
  parts: readonly OfferedPart[];
};

/** `signers`: who signed them, several where a rebuilt server goes on with the data of another. */
export type OfferedPoints = { signers: DeviceId[]; points: OfferedPoint[] };

/** More than any receiver keeps by any rule. */
const pointsMax = 200_000;

/**
 * All restore points that the receiver holds, in the order in which it got them; of the same moment, as they were made.
 * `expected`: the agent whose points count, those of others are left out; null: whoever signed is told.
 * @throws CodedError RECORD_FORGED (or all of them are of others), RECORD_INVALID, PROTOCOL_VIOLATION, LINK_TIMEOUT
 */
export async function browsePoints(link: RestoreLink, expected: DeviceId | null): Promise<OfferedPoints> {
  const points: OfferedPoint[] = [];
  const signers = new Set<DeviceId>();
  let after: string | null = null;
  do {
    const from: string | null = after;
    const page: Omit<HeldPoints, 'requestId'> = await link.run((session) => session.browsePoints(from));
    link.noteProgress();
    if (page.points.length > 0) {
      const key = keyOf(page.agentKey);
      signers.add(deviceIdOfKey(key.export({ type: 'spki', format: 'der' })));
      for (const held of page.points) points.push(readPoint(held, key));
    }
    assertInOrder(points, page, from);
    after = page.next;
  } while (after !== null);
  points.sort((a, b) => a.receivedAt - b.receivedAt || a.record.number - b.record.number);
  if (expected === null || signers.size === 0) return { signers: [...signers], points };
  if (signers.has(expected))
    return { signers: [expected], points: points.filter(({ record }) => record.agent === expected) };
  throw new CodedError(
    'RECORD_FORGED',
    `the restore points are signed by ${[...signers].join(', ')}, not by ${expected}`,
    { hint: 'compare the device ID with the recovery sheet; another receiver may have the real ones' },
  );
}

function keyOf(der: Buffer | null): KeyObject {
  try {
    if (der !== null) return createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new CodedError('RECORD_FORGED', 'what the receiver has as the public key of the agent is none', {
      cause,
    });
  }
  throw new CodedError('RECORD_FORGED', 'the receiver names restore points and no key that signed them');
}

function readPoint(
  { record: bytes, signature, receivedAt, pin, parts }: HeldPoints['points'][number],
  key: KeyObject,
): OfferedPoint {
  const record = verifyPointRecord(bytes, signature, key);
  const proved = record.folders.map((part, at): OfferedPart => {
    const said = parts[at];
    if (said === undefined || parts.length !== record.folders.length)
      throw new CodedError(
        'PROTOCOL_VIOLATION',
        'the receiver does not say of each folder of a point what it holds',
      );
    return { part, ...said };
  });
  const isKnown = proved.every(({ state }) => state !== 'unknown');
  const lacking = proved.reduce((sum, part) => sum + lackingFiles(part), 0);
  return {
    id: pointId(record, bytes),
    record,
    receivedAt,
    pin,
    complete: proved.every(({ state }) => state === 'complete'),
    incompleteFiles: isKnown ? lacking : null,
    parts: proved,
  };
}

function lackingFiles({ state, files }: Pick<OfferedPart, 'state' | 'files'>): number {
  return state === 'incomplete' ? Math.max(1, files) : 0;
}

/** Names rise from page to page, so that no listing can go on for ever unnoticed. */
function assertInOrder(
  points: readonly OfferedPoint[],
  page: Omit<HeldPoints, 'requestId'>,
  after: string | null,
): void {
  const fresh = points.slice(points.length - page.points.length);
  const rises = fresh.every(({ id }, at) => {
    const before = at === 0 ? after : (fresh[at - 1]?.id ?? null);
    return before === null || id > before;
  });
  const goesOn = page.next === null || page.next === fresh.at(-1)?.id;
  if (rises && goesOn && points.length <= pointsMax) return;
  throw new CodedError(
    'PROTOCOL_VIOLATION',
    'the receiver lists restore points that are not in order, or without end',
  );
}

/** The point as `points` shows it. */
export function listOffered({
  id,
  record,
  receivedAt,
  pin,
  complete,
  incompleteFiles,
  parts,
}: OfferedPoint): PointListing {
  return {
    id,
    agent: record.agent,
    at: record.createdAt,
    receivedAt: new Date(receivedAt).toISOString(),
    complete,
    incompleteFiles,
    pinned: pin !== null,
    pin: pin === null ? null : { label: pin, by: null },
    folders: parts.map(({ part, state, files, bytes, lacking }) => {
      const incompleteFiles = state === 'unknown' ? null : lackingFiles({ state, files });
      const common = { id: part.id, state, incompleteFiles, bytes, lacking: lacking.map(displayPath) };
      return part.kind === 'sealed'
        ? { ...common, version: part.number }
        : { ...common, from: part.from, to: part.to };
    }),
  };
}
