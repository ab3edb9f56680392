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
import { createReceiverCommands } from './create-receiver-commands.ts';
import { createPointBooks } from './create-point-books.ts';
import type { ReceiverCommands } from './receiver-commands.ts';

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
  const { points } = createPointBooks({ copies, logger }, { dataDirectory: config.data });
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
  const commands = createReceiverCommands({
    home,
    book,
    desk,
    running: null,
    copies: allCopies,
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
      await points.close();
      await copies.close();
    },
  };
}

async function openCopies(copies: AgentCopies): Promise<AgentCopies> {
  const [failure] = await copies.openAll();
  if (failure !== undefined) throw failure.error;
  return copies;
}
