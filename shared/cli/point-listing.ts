import { formatByteSize } from './byte-size.ts';
import { formatTable } from './table.ts';
import { shortDeviceId, type DeviceId } from '../identity/device-id.ts';

/**
 * What a point brings back of one folder. `state`: whether that is proved; `incompleteFiles`: 0 when complete, of a sealed
 * folder at most 1, null when it is not known; `bytes`: of a sealed folder what a restore reads, null where it is not
 * counted; `lacking`: the first of the files that are not all there.
 */
type ListedPart = {
  id: string;
  state: 'complete' | 'incomplete' | 'unknown';
  incompleteFiles: number | null;
  bytes: number | null;
  lacking: string[];
} & ({ version: number } | { from: number; to: number });

/** A restore point as `points --json` prints it, on both sides. Times are ISO 8601. */
export type PointListing = {
  id: string;
  agent: string;
  /** When the point was begun, by the agent's clock. */
  at: string;
  /** By the receiver's clock: a restore of a moment goes by this one. */
  receivedAt: string;
  complete: boolean;
  /** 0 when complete; null when it is not known of some folder. */
  incompleteFiles: number | null;
  pinned: boolean;
  pin: { label: string; by: 'agent' | 'owner' | null } | null;
  folders: ListedPart[];
};

/** The points for people, in the order given. `command`: what lists them, for a hint. */
export function formatPoints(points: readonly PointListing[], command: string): string {
  if (points.length === 0) return 'no restore point is held yet\n';
  const isLacking = points.some(({ incompleteFiles }) => incompleteFiles !== 0);
  return isLacking ? `${formatRows(points)}what one of them lacks: ${command} POINT\n` : formatRows(points);
}

/** One point for people, with the first files that it lacks of each folder. */
export function formatPoint(point: PointListing, command: string): string {
  const lines = point.folders.flatMap((folder) => {
    if (folder.state === 'complete') return [];
    if (folder.state === 'unknown') return [`folder ${folder.id} is not proved yet`];
    if ('version' in folder) return [`version ${folder.version} of folder ${folder.id} is not whole`];
    const { id, incompleteFiles, lacking } = folder;
    const more = (incompleteFiles ?? 0) - lacking.length;
    const named = lacking.map((path) => `  ${id}/${path}`);
    const rest = more > 0 ? [`  and ${more} more: ${command} ${point.id} --lacking`] : [];
    return [`lacking of folder ${id}:`, ...named, ...rest];
  });
  return [formatRows([point]), ...lines.map((line) => `${line}\n`)].join('');
}

function formatRows(points: readonly PointListing[]): string {
  const rows = points.map(({ id, agent, at, receivedAt, folders, pin, ...point }) => [
    id,
    toSeconds(at),
    toSeconds(receivedAt),
    shortDeviceId(agent as DeviceId),
    formatCompleteness(point),
    folders.map(folderText).join(' '),
    pin?.label ?? '',
  ]);
  return formatTable(['POINT', 'MADE', 'RECEIVED', 'AGENT', 'STATE', 'FOLDERS', 'PIN'], rows);
}

function toSeconds(at: string): string {
  return at.replace(/\.\d+Z$/, 'Z');
}

/** Whether a point is whole, in words. */
export function formatCompleteness({
  complete,
  incompleteFiles,
}: Pick<PointListing, 'complete' | 'incompleteFiles'>): string {
  if (complete) return 'complete';
  if (incompleteFiles === null) return 'not proved';
  return incompleteFiles === 1 ? 'incomplete (1 file)' : `incomplete (${incompleteFiles} files)`;
}

function folderText(folder: ListedPart): string {
  const size = folder.bytes === null ? '' : ` (${formatByteSize(folder.bytes)})`;
  return 'version' in folder ? `${folder.id}#${folder.version}${size}` : `${folder.id}${size}`;
}
