import type { DaemonLife } from '../shared/cli/run-daemon.ts';
import { CodedError } from '../shared/errors/coded-error.ts';
import {
  parseDeviceId,
  resolveDeviceId,
  shortDeviceId,
  type DeviceId,
} from '../shared/identity/device-id.ts';
import { loadDeviceIdentity } from '../shared/identity/device-identity.ts';
import type { Home } from '../shared/io/home.ts';
import { parseInvitation } from '../shared/link/invitation.ts';
import type { PairingDesk } from '../shared/link/pairing-desk.ts';
import type { PeerBook } from '../shared/link/peer-book.ts';
import type { PeerGrant } from '../shared/link/peer.ts';
import { programVersion } from '../shared/program-version.ts';
import { limits } from '../shared/protocol/limits.ts';
import { parseFolderId } from '../shared/records/folder-id.ts';
import { parseRelativePath } from '../shared/records/relative-path.ts';
import type { AgentCopies } from './agent-copies.ts';
import type { AgentGuards } from './agent-guards.ts';
import { readReceiverConfig } from './config.ts';
import { listVersions } from './list-versions.ts';
import type { PointBooks } from './point-books.ts';
import type { PointForgetting } from './point-forgetting.ts';
import { succeedDevice } from './succeed-device.ts';
import type { Successions } from './successions.ts';
import { listPoints } from './point-listing.ts';
import type { ForgetListing, ReceiverCommands, ReceiverStatus } from './receiver-commands.ts';
import { freezeOf } from './receiver-status.ts';
import { reindexCopies } from './reindex-copies.ts';
import type { Scrubber } from './scrub/scrubber.ts';

/** What only a running receiver can do. */
type RunningReceiver = {
  life: DaemonLife;
  status(): ReceiverStatus;
  isConnected(deviceId: DeviceId): boolean;
  /** Runs the action while nothing is pulled from that agent. */
  withoutSession<Result>(agentId: DeviceId, action: () => Promise<Result>): Promise<Result>;
};

type Deps = {
  home: Home;
  book: PeerBook;
  desk: PairingDesk;
  /** Opens all stores on the disk at the first call where the receiver does not run. */
  copies: () => Promise<AgentCopies>;
  /** The same, without those that are gone from the disk. */
  copiesOnDisk: () => Promise<AgentCopies>;
  points: () => Promise<PointBooks>;
  guards: () => Promise<AgentGuards>;
  forgetting: PointForgetting;
  /** At work from the first call on. */
  scrubber: () => Promise<Scrubber>;
  running: RunningReceiver | null;
};

/** The commands over the files of a home; `running` is null where the program does not run (the caller holds the lock). */
export function createReceiverCommands(deps: Deps): ReceiverCommands {
  const { home, book, desk } = deps;
  // agents are named by the device after which their directory is named
  const knownAgents = async (): Promise<DeviceId[]> => {
    const copies = await deps.copies();
    const paired = book.peers().filter(({ role }) => role === 'agent');
    const homes = paired.map(({ deviceId }) => copies.successions.homeOf(deviceId));
    return [...new Set([...homes, ...copies.agentIds()])];
  };
  const deviceFor = async (text: string | null): Promise<DeviceId> => {
    const { successions } = await deps.copies();
    return chooseAgent(text, await knownAgents(), successions);
  };
  const agentFor = async (text: string | null): Promise<DeviceId> => {
    const deviceId = await deviceFor(text);
    return (await deps.copies()).successions.homeOf(deviceId);
  };
  const grantFor = async (role: PeerGrant['role'], agent: string | null): Promise<PeerGrant> =>
    role === 'replica' ? { role } : { role, agentId: await deviceFor(agent) };
  return {
    about: async () => ({
      pid: process.pid,
      version: programVersion,
      life: deps.running?.life.number ?? 0,
    }),
    reload: async () => {
      if (deps.running === null) throw new CodedError('NOT_RUNNING', `nothing runs on ${home.directory}`);
      readReceiverConfig(home.configFile);
      deps.running.life.reload();
      return {};
    },
    agents: async () => {
      const { successions } = await deps.copies();
      return { agents: (await knownAgents()).map((home) => successions.currentOf(home)) };
    },
    invite: async ({ role, agent }) => desk.invite(await grantFor(role, agent)),
    join: async ({ invitation, agent }, signal) => {
      const { offer } = parseInvitation(invitation);
      const agentId = offer.role === 'restore' && offer.agentId === null ? await deviceFor(agent) : null;
      const peer = await desk.join(invitation, agentId, signal ?? new AbortController().signal);
      return { deviceId: peer.deviceId, role: peer.grant.role };
    },
    pair: async ({ deviceId, addresses, role, agent }) => {
      const peer = desk.pair(deviceId, await grantFor(role, agent), addresses);
      return { deviceId: peer.deviceId };
    },
    unpair: async ({ deviceId }) => ({ deviceId: desk.unpair(deviceId) }),
    status: async () => {
      if (deps.running === null) throw new CodedError('NOT_RUNNING', `nothing runs on ${home.directory}`);
      return deps.running.status();
    },
    versions: async ({ folder, path, agent }) => {
      const copies = await deps.copies();
      const agentId = agent === null ? agentWithFolder(copies, parseFolderId(folder)) : await agentFor(agent);
      const agentNow = copies.successions.currentOf(agentId);
      return { agent: agentNow, ...listVersions(copies.get(agentId, parseFolderId(folder)), folder, path) };
    },
    points: async ({ agent, point }) =>
      listPoints(await deps.points(), agent === null ? await knownAgents() : [await agentFor(agent)], point),
    lacking: async ({ point, folder, after }) => {
      const points = await deps.points();
      const { agentId, id } = await points.find(point, await knownAgents());
      const path = after === null ? null : parseRelativePath(Buffer.from(after, 'latin1'));
      return points.lacking(agentId, { point: id, folder, after: path, limit: limits.lackingPageMax });
    },
    pin: async ({ point, label }) => {
      const { book, id, point: held } = await (await deps.points()).find(point, await knownAgents());
      if (held === null) {
        throw new CodedError(
          'POINT_UNKNOWN',
          `the files of restore point ${id} are damaged: nothing can be kept of it`,
          {
            hint: `"mastokeep-receiver forget ${id}" takes it away`,
          },
        );
      }
      await book.pin(id, label);
      return { id };
    },
    unpin: async ({ point }) => {
      const { book, id } = await (await deps.points()).find(point, await knownAgents());
      return { id, wasPinned: await book.unpin(id) };
    },
    release: async ({ agent }) => {
      const guards = await deps.guards();
      const { successions } = await deps.copies();
      const frozen = (await knownAgents()).filter((agentId) => guards.isFrozen(agentId));
      if (agent === null && frozen.length === 0) return { agent: null, released: [], frozen: false };
      const agentId =
        agent === null ? successions.homeOf(chooseAgent(null, frozen, successions)) : await agentFor(agent);
      const released = guards.release(agentId).map(freezeOf);
      return { agent: successions.currentOf(agentId), released, frozen: guards.isFrozen(agentId) };
    },
    forget: async (input) => forgetPoints(deps, await knownAgents(), input),
    succeed: async (texts) =>
      succeedDevice(
        {
          copies: await deps.copies(),
          book,
          dataDirectory: readReceiverConfig(home.configFile).data,
          self: loadDeviceIdentity(home.directory).deviceId,
          isConnected: (deviceId) => deps.running?.isConnected(deviceId) ?? false,
          withoutSession: async (deviceId, action) =>
            deps.running === null ? action() : deps.running.withoutSession(deviceId, action),
          now: () => Date.now(),
        },
        texts,
      ),
    scrub: async ({ all }, signal) => {
      const scrubber = await deps.scrubber();
      return scrubber.run({ all }, signal ?? new AbortController().signal);
    },
    scrubStatus: async () => (await deps.scrubber()).status(),
    reindex: async () =>
      reindexCopies(await deps.copiesOnDisk(), async (agentId, action) =>
        deps.running === null ? action() : deps.running.withoutSession(agentId, action),
      ),
  };
}

/** Nothing is forgotten unless all of it can be. @throws CodedError POINT_UNKNOWN, POINT_PINNED */
async function forgetPoints(
  { points, forgetting }: Pick<Deps, 'points' | 'forgetting'>,
  agentIds: readonly DeviceId[],
  { points: texts, dryRun }: { points: readonly string[]; dryRun: boolean },
): Promise<ForgetListing> {
  const books = await points();
  const found = new Map<string, Awaited<ReturnType<PointBooks['find']>>>();
  for (const text of texts) {
    const one = await books.find(text, agentIds);
    one.book.assertForgettable([one.id]);
    found.set(one.id, one);
  }
  const all = [...found.values()];
  const listing: ForgetListing = {
    points: all.map(({ agentId, id, point }) => ({
      id,
      agent: agentId,
      at: point?.record.createdAt ?? null,
    })),
    versions: 0,
    bytes: 0,
    agents: [],
  };
  for (const [agentId, group] of Map.groupBy(all, (one) => one.agentId)) {
    const ids = group.map(({ id }) => id);
    const { left, ...planned } = await forgetting.plan(agentId, ids);
    const complete = (await books.list(agentId)).filter(
      ({ id, proof }) => proof.complete && !ids.includes(id),
    );
    const done = dryRun ? { ...planned, waitsFor: null } : await forgetting.forget(agentId, ids);
    listing.versions += done.versions;
    listing.bytes += done.bytes;
    const { waitsFor } = done;
    listing.agents.push({ agent: agentId, left, leftComplete: complete.length, waitsFor });
  }
  return listing;
}

/** @throws CodedError USAGE (which one?), DEVICE_UNKNOWN */
function chooseAgent(text: string | null, agentIds: readonly DeviceId[], successions: Successions): DeviceId {
  if (text !== null) {
    const known = agentIds.flatMap((home) => successions.devicesOf(home));
    // A whole ID need not be known here: its data may come later.
    return known.length === 0 ? parseDeviceId(text) : resolveDeviceId(text, known);
  }
  const known = agentIds.map((home) => successions.currentOf(home));
  const [only, ...more] = known;
  if (only === undefined) {
    throw new CodedError('DEVICE_UNKNOWN', 'no agent is paired here and nothing is held', {
      hint: 'pair with an agent first: mastokeep-receiver join INVITATION',
    });
  }
  if (more.length > 0) {
    throw new CodedError('USAGE', 'there are several agents: say which one', {
      hint: `add --agent with one of ${known.map(shortDeviceId).join(', ')}`,
    });
  }
  return only;
}

/** @throws CodedError FOLDER_UNKNOWN, USAGE (of which agent?) */
function agentWithFolder(copies: AgentCopies, folder: string): DeviceId {
  const all = copies.agentIds();
  const holding = all.filter((agentId) => copies.foldersOf(agentId).some(([id]) => id === folder));
  if (holding.length > 0) return copies.successions.homeOf(chooseAgent(null, holding, copies.successions));
  const known = [...new Set(all.flatMap((agentId) => copies.foldersOf(agentId).map(([id]) => id)))];
  throw new CodedError('FOLDER_UNKNOWN', `no folder "${folder}" is held here`, {
    hint: known.length === 0 ? 'nothing is held yet' : `there is ${known.join(', ')}`,
  });
}
