import type { Command } from 'commander';
import { loadDeviceIdentity } from '../identity/device-identity.ts';
import type { Home } from '../io/home.ts';
import { printJson, printText } from './command-output.ts';

/** `id`: prints the ID of the device whose home it is. */
export function addIdCommand(program: Command, home: (command: Command) => Home): void {
  program
    .command('id')
    .description('print the device ID')
    .option('--json', 'print JSON')
    .action((options: { json?: true }, command: Command) => {
      const { deviceId } = loadDeviceIdentity(home(command).directory);
      if (options.json === true) printJson({ deviceId });
      else printText(deviceId);
    });
}
