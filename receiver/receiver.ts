import { AlarmBoard } from '../shared/alarm-board.ts';
import type { Daemon, DaemonLife } from '../shared/cli/run-daemon.ts';
import { isCoded } from '../shared/errors/coded-error.ts';
import { shortDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import { loadDeviceIdentity } from '../shared/identity/device-identity.ts';
import { startControlServer } from '../shared/io/control-server.ts';
import type { Home } from '../shared/io/home.ts';
import { hasIpv6, localAddresses } from '../shared/io/local-addresses.ts';
import type { Logger } from '../shared/io/logger.ts';
import { nodeDisk } from '../shared/io/node-disk.ts';
import { formatAddress, parseAddress } from '../shared/link/address.ts';
import { advertisedAddresses } from '../shared/link/advertised-addresses.ts';
import { defaultLinkLimits } from '../shared/link/link-limits.ts';
import { listenAddresses } from '../shared/link/listen-addresses.ts';
import { PairingDesk } from '../shared/link/pairing-desk.ts';
import { PeerBook } from '../shared/link/peer-book.ts';
import { PeerLinks } from '../shared/link/peer-links.ts';
import { programVersion } from '../shared/program-version.ts';
import { createPointBooks } from './create-point-books.ts';
import { createScrubber } from './create-scrubber.ts';
import type { PointBooks } from './point-books.ts';
import { PointForgetting } from './point-forgetting.ts';
import { AgentCopies } from './agent-copies.ts';
import { AgentGuards } from './agent-guards.ts';
import { writeRestoreText } from './restore-text.ts';
import { AgentSessions } from './agent-sessions.ts';
import { readReceiverConfig } from './config.ts';
import { startForgettingRetries } from './forgetting-retries.ts';
import { startHistoryExpiry } from './history-expiry.ts';
import { BatchFilesThread } from './store/batch-files-thread.ts';
import { DataWatch } from './data-watch.ts';
import { createReceiverCommands } from './create-receiver-commands.ts';
import { receiverRoutes } from './receiver-commands.ts';
import { receiverStatus } from './receiver-status.ts';
import { RestoreSessions } from './restore-sessions.ts';

/** The copies are brought up to date first. */
const scrubStartMs = 600_000;

/**
 * The running receiver; the caller holds the home's lock.
 * @throws CodedError CONFIG_INVALID, IDENTITY_DAMAGED, PEERS_DAMAGED, LISTEN_FAILED, DISK_FAILED
 */
export async function startReceiver(home: Home, logger: Logger, life: DaemonLife): Promise<Daemon> {
  const config = readReceiverConfig(home.configFile);
  const identity = loadDeviceIdentity(home.directory);
  const now = (): number => Date.now();
  const book = PeerBook.open({ file: home.peersFile, self: 'receiver' });
  const alarms = new AlarmBoard({ logger, now });
  const files = new BatchFilesThread();
  const copies = new AgentCopies({
    home,
    config,
    disk: nodeDisk,
    files,
    logger,
    now,
    onRefused: (agentId, folder, { path, error }) => {
      const about = `folder ${agentId}/${folder} refused`;
      alarms.raise(about, error.code, `${path} of folder ${folder} of agent ${agentId}: ${error.message}`);
    },
  });
  for (const { agentId, folder, error } of await copies.openAll()) {
    const message = error instanceof Error ? error.message : String(error);
    alarms.raise(
      `folder ${agentId}/${folder} opening`,
      isCoded(error) ? error.code : 'INTERNAL',
      `the copy of folder ${folder} of agent ${shortDeviceId(agentId)} cannot be opened: ${message}`,
    );
  }
  try {
    if (!copies.places.isDiskGone()) writeRestoreText(config.data);
  } catch (error) {
    alarms.raise('RESTORE.txt', 'DISK_FAILED', error instanceof Error ? error.message : String(error));
  }
  for (const agentId of copies.agentIds()) {
    for (const [folder, { opened }] of copies.foldersOf(agentId)) {
      const about = `of folder ${folder} of agent ${shortDeviceId(agentId)} was damaged`;
      if (opened.damagedDatabase)
        alarms.raise(
          `folder ${agentId}/${folder} database`,
          'DATABASE_CORRUPT',
          `the database ${about}, and was made anew from the journal or the plain files`,
        );
      if (opened.damagedJournal !== null)
        alarms.raise(
          `folder ${agentId}/${folder} journal`,
          'JOURNAL_DAMAGED',
          `the journal ${about}, and was written anew from the database or the plain files`,
        );
    }
  }
  const { points, clock } = createPointBooks({ copies, logger }, { dataDirectory: config.data });
  for (const agentId of copies.agentIds()) await openPoints(points, agentId, alarms);
  const guards = new AgentGuards(
    { copies, alarms, now, logger },
    { dataDirectory: config.data, rules: config.guards },
  );
  for (const agentId of copies.agentIds()) await guards.check(agentId);
  const sessions = new AgentSessions({ copies, points, alarms, guards, logger, now });
  const scrubber = createScrubber({ copies, points, alarms, logger, config, sessions });
  const dataWatch = new DataWatch({
    copies,
    alarms,
    logger,
    withoutSession: async (agentId, action) => sessions.withoutSession(agentId, action),
  });
  dataWatch.start();
  const restores = new RestoreSessions({ copies, points, logger, now });
  const links = new PeerLinks(
    {
      identity,
      book,
      logger,
      onChannel: (channel, peer) => {
        if (peer.role === 'agent') sessions.begin(channel);
        else restores.begin(channel, peer);
      },
    },
    { listen: listenAddresses(config.listen, hasIpv6()), limits: defaultLinkLimits },
  );
  const listening = await links.start();
  const reachableAt = (): string[] =>
    advertisedAddresses(config.advertise, listening.map(parseAddress), localAddresses()).map(formatAddress);
  const desk = new PairingDesk({ identity, book, limits: defaultLinkLimits, reachableAt });
  const statusDeps = {
    identity,
    book,
    links,
    copies,
    points,
    guards,
    sessions,
    scrubber,
    alarms,
    pointRules: config.points,
    retentionNow: () => clock.nowMs(),
    now,
    listening,
    dataDirectory: config.data,
  };
  const forgetting = new PointForgetting(
    {
      bookOf: async (agentId) => points.of(agentId),
      copies,
      isRead: (agentId) => restores.leases.holds(agentId),
      retentionNow: () => clock.nowMs(),
    },
    { rulesOf: () => config.points },
  );
  const commands = createReceiverCommands({
    home,
    book,
    desk,
    copies: async () => copies,
    copiesOnDisk: async () => copies,
    points: async () => points,
    guards: async () => guards,
    forgetting,
    scrubber: async () => scrubber,
    running: {
      life,
      status: () => receiverStatus(statusDeps),
      isConnected: (deviceId) => links.isConnected(deviceId),
      withoutSession: async (agentId, action) => sessions.withoutSession(agentId, action),
    },
  });
  scrubber.start(scrubStartMs);
  const control = await startControlServer({ home, routes: receiverRoutes(commands), logger });
  const expiry = startHistoryExpiry(
    {
      points,
      copies,
      isRead: (agentId) => restores.leases.holds(agentId),
      guards,
      retentionNow: () => clock.nowMs(),
      storeClock: () => clock.store(),
      clockGap: () => clock.gap(),
      damagedClockFile: () => clock.damagedFile(),
      alarms,
      logger,
    },
    { rulesOf: () => config.points },
  );
  const retries = startForgettingRetries({
    forgetting,
    agentIds: () => copies.agentIds(),
    alarms,
    logger,
  });
  logger.info(
    { deviceId: identity.deviceId, version: programVersion, listening, data: config.data },
    'receiver started',
  );
  return {
    failed: new Promise(() => {}),
    stop: async () => {
      await dataWatch.stop();
      await expiry.stop();
      await retries.stop();
      await control.close();
      await links.stop();
      await scrubber.stop();
      await Promise.all([sessions.ended(), restores.ended()]);
      await guards.settled();
      await points.close();
      clock.store();
      await copies.close();
      await files.close();
      logger.info({}, 'receiver stopped');
    },
  };
}

/** What keeps the points from being read is an alarm; replication goes on. Of damaged ones the scrub tells. */
async function openPoints(points: PointBooks, agentId: DeviceId, alarms: AlarmBoard): Promise<void> {
  const agent = shortDeviceId(agentId);
  try {
    await points.of(agentId);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const code = isCoded(error) ? error.code : 'INTERNAL';
    alarms.raise(
      `points ${agentId}`,
      code,
      `the restore points of agent ${agent} cannot be read: ${message}`,
    );
  }
}
