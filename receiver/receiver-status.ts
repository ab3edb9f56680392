import fs from 'node:fs';
import type { AlarmBoard } from '../shared/alarm-board.ts';
import type { DeviceIdentity } from '../shared/identity/device-identity.ts';
import type { DeviceId } from '../shared/identity/device-id.ts';
import type { PeerBook } from '../shared/link/peer-book.ts';
import type { PeerLinks } from '../shared/link/peer-links.ts';
import { programVersion } from '../shared/program-version.ts';
import type { AgentCopies } from './agent-copies.ts';
import type { AgentGuards } from './agent-guards.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { PointBooks } from './point-books.ts';
import type { GuardHit } from './guard/freeze-state.ts';
import type {
  ReceiverAgentStatus,
  ReceiverFreeze,
  ReceiverRecipients,
  ReceiverStatus,
} from './receiver-commands.ts';
import { latestRemovalMs } from './retention/latest-removal.ts';
import type { PointRules } from './retention/point-retention.ts';
import type { Scrubber } from './scrub/scrubber.ts';
import type { RecipientHistory } from './store/recipient-history.ts';

type Deps = {
  identity: DeviceIdentity;
  book: PeerBook;
  links: PeerLinks;
  copies: AgentCopies;
  points: PointBooks;
  guards: AgentGuards;
  sessions: AgentSessions;
  scrubber: Scrubber;
  alarms: AlarmBoard;
  pointRules: PointRules;
  /** ms, by the clock that ages are counted by. */
  retentionNow: () => number;
  /** ms by the wall clock. */
  now: () => number;
  dataDirectory: string;
  listening: readonly string[];
};

/** What the running receiver says of itself; reads no more than a few rows. */
export function receiverStatus(deps: Deps): ReceiverStatus {
  const paired = deps.book.peers().filter(({ role }) => role === 'agent');
  const { successions } = deps.copies;
  const served = paired.filter(({ deviceId }) => successions.successorOf(deviceId) === null);
  const agentIds = new Set([
    ...served.map(({ deviceId }) => successions.homeOf(deviceId)),
    ...deps.copies.agentIds(),
  ]);
  return {
    deviceId: deps.identity.deviceId,
    version: programVersion,
    listening: [...deps.listening],
    agents: [...agentIds].map((agentId) => agentStatus(deps, agentId)),
    disk: deps.copies.places.isDiskGone() ? { freeBytes: 0, usedBytes: 0 } : diskStatus(deps.dataDirectory),
    scrub: deps.scrubber.status(),
    alarms: deps.alarms.list(),
  };
}

function agentStatus(
  { book, links, copies, points, guards, sessions, pointRules, retentionNow, now }: Deps,
  agentId: DeviceId,
): ReceiverAgentStatus {
  const frozen = guards.isFrozen(agentId);
  const devices = copies.successions.devicesOf(agentId);
  const deviceId = devices.at(-1) ?? agentId;
  return {
    deviceId,
    formerly: [...new Set(devices)].filter((other) => other !== deviceId),
    paired: book.get(deviceId)?.role === 'agent',
    connected: links.isConnected(deviceId),
    frozen,
    freezes: guards.hits(agentId).map(freezeOf),
    quotaBytes: copies.quotaBytesOf(agentId),
    usedBytes: copies.quotaOf(agentId).usedBytes(),
    points: pointsStatus(points, agentId),
    folders: copies.foldersOf(agentId).map(([id, store]) => {
      const position = store.position();
      if (store.kind === 'sealed') {
        const { versions, bytes, lastDurableAt } = store.usage();
        return {
          id,
          kind: 'sealed',
          files: null,
          bytes,
          versions,
          versionBytes: 0,
          durableSequence: position?.sequence ?? 0,
          lastDurableAt: lastDurableAt === null ? null : new Date(lastDurableAt).toISOString(),
          deletedGoneBy: null,
          recipients: recipientStatus(store.recipients()),
        };
      }
      const durableAt = sessions.lastDurableAt(agentId, id) ?? (position === null ? null : store.changedAt());
      const { files, bytes, versions, versionBytes } = store.usage();
      return {
        id,
        kind: 'mirror',
        files,
        bytes,
        versions,
        versionBytes,
        durableSequence: position?.sequence ?? 0,
        lastDurableAt: durableAt === null ? null : new Date(durableAt).toISOString(),
        deletedGoneBy: frozen
          ? null
          : goneBy(
              latestRemovalMs(
                Math.max(now(), retentionNow(), store.changedAt()),
                copies.retentionOf(agentId, id),
                pointRules,
              ),
            ),
        recipients: null,
      };
    }),
  };
}

/** For programs. */
export function freezeOf({ folder, code, since, what }: GuardHit): ReceiverFreeze {
  return { folder, code, since, message: what };
}

function goneBy(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** Times are those at which the points were received. */
function pointsStatus(points: PointBooks, agentId: DeviceId): ReceiverAgentStatus['points'] {
  const book = points.opened(agentId);
  const held = book?.list() ?? [];
  const at = (point: (typeof held)[number] | undefined): string | null =>
    point === undefined ? null : new Date(point.wallAt).toISOString();
  return {
    count: held.length,
    latestAt: at(held.at(-1)),
    oldestAt: at(held[0]),
    refused: book?.refused ?? 0,
    forgotten: book?.forgotten().length ?? 0,
  };
}

const changesShownMax = 20;

function recipientStatus({ keyIds, changes }: RecipientHistory): ReceiverRecipients {
  const shown = changes.slice(0, changesShownMax).map(({ at, number, epoch, added, removed }) => {
    return { at: new Date(at).toISOString(), number, epoch, added, removed };
  });
  return { keyIds, changes: shown };
}

function diskStatus(directory: string): { freeBytes: number; usedBytes: number } {
  const { blocks, bfree, bavail, bsize } = fs.statfsSync(directory);
  return { freeBytes: bavail * bsize, usedBytes: (blocks - bfree) * bsize };
}
