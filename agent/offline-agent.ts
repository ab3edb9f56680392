import { loadDeviceIdentity } from '../shared/identity/device-identity.ts';
import type { Home } from '../shared/io/home.ts';
import { localAddresses } from '../shared/io/local-addresses.ts';
import { addressesOnceStarted } from '../shared/link/advertised-addresses.ts';
import { defaultLinkLimits } from '../shared/link/link-limits.ts';
import { PairingDesk } from '../shared/link/pairing-desk.ts';
import { PeerBook } from '../shared/link/peer-book.ts';
import type { AgentCommands } from './agent-commands.ts';
import { readAgentConfig } from './config.ts';
import { createAgentCommands } from './create-agent-commands.ts';

/** The commands of an agent that does not run; the caller holds the home's lock until the last one has resolved. */
export function createOfflineAgentCommands(home: Home): AgentCommands {
  const config = readAgentConfig(home);
  const desk = new PairingDesk({
    identity: loadDeviceIdentity(home.directory),
    book: PeerBook.open({ file: home.peersFile, self: 'agent' }),
    limits: defaultLinkLimits,
    reachableAt: () => addressesOnceStarted(config, localAddresses()),
  });
  return createAgentCommands({ home, desk, running: null, now: () => Date.now() });
}
