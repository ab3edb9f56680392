import { AlarmBoard } from '../shared/alarm-board.ts';
import { loadDeviceIdentity } from '../shared/identity/device-identity.ts';
import type { Home } from '../shared/io/home.ts';
import { localAddresses } from '../shared/io/local-addresses.ts';
import { createLogger, silentLogger } from '../shared/io/logger.ts';
import { nodeDisk } from '../shared/io/node-disk.ts';
import { addressesOnceStarted } from '../shared/link/advertised-addresses.ts';
import { defaultLinkLimits } from '../shared/link/link-limits.ts';
import { PairingDesk } from '../shared/link/pairing-desk.ts';
import { PeerBook } from '../shared/link/peer-book.ts';
import { AgentCopies } from './agent-copies.ts';
import { AgentGuards } from './agent-guards.ts';
import { readReceiverConfig } from './config.ts';
import type { HeldFolder } from './copy-places.ts';
import { createReceiverCommands } from './create-receiver-commands.ts';
import { createPointBooks } from './create-point-books.ts';
import { PointForgetting } from './point-forgetting.ts';
import { createScrubber } from './create-scrubber.ts';
import type { Scrubber } from './scrub/scrubber.ts';
import type { ReceiverCommands } from './receiver-commands.ts';

/** The command that the scrubber is started for does not wait. */
const scrubStartMs = 3_600_000;

/**
 * The commands of a receiver that does not run; the caller holds the home's lock until `close` has resolved.
 * Stores are opened when a command needs them.
 */
export function createOfflineReceiverCommands(home: Home): {
  commands: ReceiverCommands;
  close(): Promise<void>;
} {
  const config = readReceiverConfig(home.configFile);
  const book = PeerBook.open({ file: home.peersFile, self: 'receiver' });
  const desk = new PairingDesk({
    identity: loadDeviceIdentity(home.directory),
    book,
    limits: defaultLinkLimits,
    reachableAt: () => addressesOnceStarted(config, localAddresses()),
  });
  const logger = createLogger();
  const copies = new AgentCopies({
    home,
    config,
    disk: nodeDisk,
    logger,
    now: () => Date.now(),
    onRefused: (agentId, folder, { path, error }) =>
      logger.error(
        { agentId, folder, path, code: error.code, detail: error.message },
        'a version is refused',
      ),
  });
  const { points, clock } = createPointBooks({ copies, logger }, { dataDirectory: config.data });
  const now = (): number => Date.now();
  const guards = new AgentGuards(
    // the command says what it did
    { copies, alarms: new AlarmBoard({ logger, now }), now, logger: silentLogger },
    { dataDirectory: config.data, rules: config.guards },
  );
  let opened: Promise<AgentCopies> | null = null;
  const allCopies = async (): Promise<AgentCopies> => {
    opened ??= openCopies(copies);
    return opened;
  };
  let scrubber: Promise<Scrubber> | null = null;
  const startScrubber = async (): Promise<Scrubber> => {
    await allCopies();
    for (const agentId of copies.agentIds()) await points.of(agentId);
    const made = createScrubber({
      copies,
      points,
      // what they would say the command itself prints
      alarms: new AlarmBoard({ logger: silentLogger, now: () => Date.now() }),
      logger: silentLogger,
      config,
      sessions: null,
    });
    made.start(scrubStartMs);
    return made;
  };
  const commands = createReceiverCommands({
    home,
    book,
    desk,
    running: null,
    scrubber: async () => {
      scrubber ??= startScrubber();
      return scrubber;
    },
    copies: allCopies,
    copiesOnDisk: async () =>
      openCopies(copies, ({ agentId, folder }) => copies.places.hasVanished(agentId, folder)),
    forgetting: new PointForgetting(
      {
        bookOf: async (agentId) => points.of(agentId),
        copies,
        isRead: () => false,
        retentionNow: () => clock.nowMs(),
      },
      { rulesOf: () => config.points },
    ),
    points: async () => {
      await allCopies();
      return points;
    },
    guards: async () => {
      await allCopies();
      return guards;
    },
  });
  return {
    commands,
    close: async () => {
      await (await scrubber)?.stop();
      await points.close();
      await copies.close();
    },
  };
}

async function openCopies(
  copies: AgentCopies,
  mayBeClosed: (folder: HeldFolder) => boolean = () => false,
): Promise<AgentCopies> {
  const failure = (await copies.openAll()).find((folder) => !mayBeClosed(folder));
  if (failure !== undefined) throw failure.error;
  return copies;
}
