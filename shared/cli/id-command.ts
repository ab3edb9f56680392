import type { Command } from 'commander';
import { loadDeviceIdentity, renewCertificate } from '../identity/device-identity.ts';
import { becomeHomeOwner, type Home } from '../io/home.ts';
import { printJson, printText } from './command-output.ts';

/** `id`: prints the ID of the device whose home it is. */
export function addIdCommand(program: Command, home: (command: Command) => Home): void {
  program
    .command('id')
    .description('print the device ID')
    .option(
      '--renew-certificate',
      'make a new certificate for the same key, used from the next start or "reload" on; the ID and all pairings stay',
    )
    .option('--json', 'print JSON')
    .action(async (options: { renewCertificate?: true; json?: true }, command: Command) => {
      const ownHome = home(command);
      const { directory } = ownHome;
      if (options.renewCertificate === true) {
        becomeHomeOwner(ownHome);
        await renewCertificate(directory);
      }
      const { deviceId } = loadDeviceIdentity(directory);
      if (options.json === true) printJson({ deviceId });
      else printText(deviceId);
    });
}
