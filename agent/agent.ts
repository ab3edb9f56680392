import path from 'node:path';
import { AlarmBoard } from '../shared/alarm-board.ts';
import type { Daemon, DaemonLife } from '../shared/cli/run-daemon.ts';
import type { DeviceId } from '../shared/identity/device-id.ts';
import { loadDeviceIdentity } from '../shared/identity/device-identity.ts';
import { startControlServer } from '../shared/io/control-server.ts';
import type { Home } from '../shared/io/home.ts';
import { hasIpv6, localAddresses } from '../shared/io/local-addresses.ts';
import type { Logger } from '../shared/io/logger.ts';
import { formatAddress, parseAddress } from '../shared/link/address.ts';
import { advertisedAddresses } from '../shared/link/advertised-addresses.ts';
import { defaultLinkLimits } from '../shared/link/link-limits.ts';
import { listenAddresses } from '../shared/link/listen-addresses.ts';
import { PairingDesk } from '../shared/link/pairing-desk.ts';
import { PeerBook } from '../shared/link/peer-book.ts';
import { PeerLinks } from '../shared/link/peer-links.ts';
import { programVersion } from '../shared/program-version.ts';
import { reviewAgentAlarms } from './agent-alarms.ts';
import { agentRoutes } from './agent-commands.ts';
import { AgentFolders } from './agent-folders.ts';
import { AgentPause } from './agent-pause.ts';
import { agentStatus } from './agent-status.ts';
import { readAgentConfig, type FolderConfig } from './config.ts';
import { createAgentCommands, type RunningAgent } from './create-agent-commands.ts';
import { dumpAndWait } from './dump-and-wait.ts';
import { readPause } from './pause-file.ts';
import { PointLedger } from './points/point-ledger.ts';
import { PointMaker } from './points/point-maker.ts';
import { ReceiverSessions } from './receiver-sessions.ts';
import { RecipientDirectory } from './seal/recipient-directory.ts';
import { SealedFolders } from './seal/sealed-folders.ts';
import { SealingWatch } from './seal/sealing-state.ts';
import { joinFolders } from './serve/join-folders.ts';
import { UploadLimiter } from './upload/upload-limiter.ts';
import { describeObstacles } from './describe-obstacles.ts';
import { waitForCopies } from './wait-for-copies.ts';

const alarmIntervalMs = 5000;
const durablePollMs = 100;
/** How often it is asked whether the hourly restore point is due. */
const pointCheckMs = 60_000;

/**
 * The running agent; the caller holds the home's lock.
 * @throws CodedError CONFIG_INVALID, IDENTITY_DAMAGED, PEERS_DAMAGED, LISTEN_FAILED
 */
export async function startAgent(home: Home, logger: Logger, life: DaemonLife): Promise<Daemon> {
  const config = readAgentConfig(home);
  const identity = loadDeviceIdentity(home.directory);
  const now = (): number => Date.now();
  const { promise: failed, resolve: fail } = Promise.withResolvers<Error>();
  const book: PeerBook = PeerBook.open({ file: home.peersFile, self: 'agent' });
  const receivers = () =>
    book.peers().flatMap(({ role, deviceId }) => (role === 'receiver' ? [deviceId] : []));
  const alarms = new AlarmBoard({ logger, now });
  const folders = new AgentFolders({ home, config, logger, onFailure: fail });
  const { indexer } = folders;
  const sealed: SealedFolders = new SealedFolders(
    {
      home,
      identity,
      logger,
      now,
      every: (intervalMs, callback) => {
        const timer = setInterval(callback, intervalMs);
        return () => clearInterval(timer);
      },
      connected: () => receivers().filter((id) => links.isConnected(id)),
      around: async (asked, work) => points.around(asked, work),
    },
    { spoolBytesMax: config.spool.bytesMax },
  );
  const ledger = new PointLedger(
    {
      steadyNow: () => performance.now(),
      after: (ms, callback) => void setTimeout(callback, ms).unref(),
    },
    { directory: path.join(home.directory, 'points'), pointsMax: 2000 },
  );
  const points: PointMaker = new PointMaker({
    ledger,
    identity,
    positions: () => folders.positions(),
    scan: async () => folders.scanAll(),
    newestVersions: () => sealed.newestVersions(),
    now,
    logger,
  });
  const sealing = new SealingWatch(new RecipientDirectory(home, now), now);
  const served = joinFolders([folders, sealed]);
  const pause = new AgentPause({
    begin: async () => {
      sealed.pause(true);
      points.pause(true);
      await indexer.pause();
    },
    end: async () => {
      sealed.pause(false);
      await indexer.resume();
      points.pause(false);
    },
    now,
  });
  const upload = new UploadLimiter(
    {
      now,
      steadyNow: () => performance.now(),
      after: (ms, callback) => {
        const timer = setTimeout(callback, ms);
        return () => clearTimeout(timer);
      },
    },
    config.upload,
  );
  const pace = (receiverId: DeviceId) => upload.pace(receiverId);
  const sessions = new ReceiverSessions({ folders: served, points: ledger, pace, logger });
  const links = new PeerLinks(
    { identity, book, logger, onChannel: (channel) => sessions.begin(channel) },
    { listen: listenAddresses(config.listen, hasIpv6()), limits: defaultLinkLimits },
  );

  await indexer.start([]);
  await pause.set(readPause(home, now()));
  const startFolder = async (folder: FolderConfig): Promise<void> => {
    if (folder.kind === 'sealed') sealed.add(folder);
    else await folders.add(folder);
  };
  for (const folder of config.folders) await startFolder(folder);
  const listening = await links.start();
  const stopForgetting = book.onChange((deviceId) => {
    if (book.get(deviceId) !== null) return;
    sealed.forgetReceiver(deviceId);
    ledger.forgetReceiver(deviceId);
    indexer.forgetReceiver(deviceId).catch(fail);
  });
  const reachableAt = (): string[] =>
    advertisedAddresses(config.advertise, listening.map(parseAddress), localAddresses()).map(formatAddress);
  const desk = new PairingDesk({ identity, book, limits: defaultLinkLimits, reachableAt });
  const review = (): void =>
    reviewAgentAlarms({ alarms, folders, sealed, sealing, sessions, receivers, now });
  const reviewWithKeys = async (): Promise<void> => {
    await sealing.refresh();
    review();
  };
  const statusDeps = { identity, book, links, folders, sealed, sealing, sessions, pause, upload, listening };
  const running: RunningAgent = {
    life,
    lookAtKeys: async () => sealing.refresh(),
    status: () => {
      review();
      return agentStatus(statusDeps, alarms.list());
    },
    scan: async (folder) => folders.scan(folder),
    wait: async (options) =>
      waitForCopies(
        {
          scan: async () => folders.scan(null),
          feed: (folderId) => indexer.feed(folderId),
          latestVersions: () => sealed.latestVersions(),
          receivers,
          obstacles: () => describeObstacles(running.status()),
          pollIntervalMs: durablePollMs,
        },
        options,
      ),
    accept: async (folder) => indexer.accept(folder),
    pause: async (wanted) => pause.set(wanted),
    dump: async (options) =>
      dumpAndWait(
        {
          dump: async (folder, pin) => sealed.dump(folder, pin),
          copies: (result) => sealed.copies(result, receivers()),
          pinAnswers: (point) => ledger.pinAnswers(point),
          connected: () => receivers().filter((id) => links.isConnected(id)),
          obstacles: () => describeObstacles(running.status()),
          pollIntervalMs: durablePollMs,
        },
        options,
      ),
    startFolder,
  };
  const commands = createAgentCommands({ home, desk, running, now });
  const control = await startControlServer({ home, routes: agentRoutes(commands), logger });
  await reviewWithKeys();
  const reviews = setInterval(() => void reviewWithKeys().catch(fail), alarmIntervalMs);
  sealed.start();
  const hourlyPoints = setInterval(() => points.tick(), pointCheckMs);
  logger.info(
    {
      deviceId: identity.deviceId,
      version: programVersion,
      listening,
      folders: config.folders.map(({ id }) => id),
    },
    'agent started',
  );
  return {
    failed,
    stop: async () => {
      clearInterval(reviews);
      clearInterval(hourlyPoints);
      points.pause(true);
      pause.stop();
      stopForgetting();
      await control.close();
      await links.stop();
      await sessions.ended();
      upload.stop();
      await sealed.stop();
      await points.stop();
      await indexer.stop();
      logger.info({}, 'agent stopped');
    },
  };
}
