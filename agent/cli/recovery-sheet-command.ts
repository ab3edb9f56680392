import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { loadDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { becomeHomeOwner, type Home } from '../../shared/io/home.ts';
import { localAddresses } from '../../shared/io/local-addresses.ts';
import { formatAddress } from '../../shared/link/address.ts';
import { advertisedAddresses } from '../../shared/link/advertised-addresses.ts';
import { PeerBook } from '../../shared/link/peer-book.ts';
import { readAgentConfig } from '../config.ts';
import { describeFolderSource, formatRecoverySheet, type RecoverySheet } from '../recovery-sheet.ts';
import { RecipientDirectory } from '../seal/recipient-directory.ts';
import { readSealingState, type SealingState } from '../seal/sealing-state.ts';
import { initialisedAgentHome } from './agent-home.ts';
import { failForUnusableKeys } from './unusable-keys.ts';

/** `recovery-sheet`: what to keep on paper. */
export function addRecoverySheetCommand(program: Command): void {
  program
    .command('recovery-sheet')
    .description('print what to keep on paper: IDs, addresses, keys, and how to restore; holds no secret')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const home = initialisedAgentHome(command);
      becomeHomeOwner(home);
      const sealing = await readSealingState(new RecipientDirectory(home));
      const sheet = readRecoverySheet(home, sealing);
      if (options.json === true) printJson({ ...sheet, text: formatRecoverySheet(sheet) });
      else printText(formatRecoverySheet(sheet));
      failForUnusableKeys(sealing.problems);
    });
}

/**
 * What the files of a home say, and the given state of its keys; the program may be running.
 * @throws CodedError CONFIG_INVALID, IDENTITY_DAMAGED, PEERS_DAMAGED
 */
export function readRecoverySheet(home: Home, sealing: SealingState): RecoverySheet {
  const { advertise, listen, folders } = readAgentConfig(home);
  const book = PeerBook.open({ file: home.peersFile, self: 'agent' });
  return {
    deviceId: loadDeviceIdentity(home.directory).deviceId,
    addresses: advertisedAddresses(advertise, listen, localAddresses()).map(formatAddress),
    folders: folders.map((folder) => ({
      id: folder.id,
      kind: folder.kind,
      source: describeFolderSource(folder),
    })),
    sealedTo: sealing.mode,
    recipients: sealing.recipients.map(({ fingerprint, userIds, expiresAt }) => ({
      fingerprint,
      userIds,
      expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString(),
    })),
    unusableKeys: sealing.problems.map(({ message }) => message),
    receivers: book
      .peers()
      .filter(({ role }) => role === 'receiver')
      .map(({ deviceId, addresses }) => ({ deviceId, addresses })),
    madeAt: new Date().toISOString(),
  };
}
