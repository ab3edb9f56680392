import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { describeDuration } from '../../shared/cli/duration.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { loadDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { initialisedAgentHome } from './agent-home.ts';
import { withAgent } from './with-agent.ts';

/** `id`, `invite`, `join`, `pair`, `unpair`. */
export function addPairingCommands(program: Command): void {
  program
    .command('id')
    .description('print the device ID')
    .option('--json', 'print JSON')
    .action((options: { json?: true }, command: Command) => {
      const { deviceId } = loadDeviceIdentity(initialisedAgentHome(command).directory);
      if (options.json === true) printJson({ deviceId });
      else printText(deviceId);
    });
  program
    .command('invite')
    .description('print an invitation for one receiver to join, good for ten minutes')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const made = await withAgent(command, async (commands) => commands.invite({}));
      if (options.json === true) {
        printJson(made);
        return;
      }
      printText(
        `good once, for ${describeDuration(Date.parse(made.expiresAt) - Date.now())}; it carries ${made.addresses.join(', ')}`,
        'on the receiver: mastokeep-receiver join INVITATION',
        '',
        made.invitation,
      );
    });
  program
    .command('join')
    .description('accept the invitation of a receiver that listens')
    .argument('<INVITATION>')
    .option('--json', 'print JSON')
    .action(async (invitation: string, options: { json?: true }, command: Command) => {
      const joined = await withAgent(command, async (commands) => commands.join({ invitation }));
      if (options.json === true) printJson(joined);
      else printText(`paired with receiver ${joined.deviceId}`);
    });
  program
    .command('pair')
    .description('pair with a receiver by its device ID; the receiver must pair with this one too')
    .argument('<DEVICE-ID>')
    .option(
      '--address <HOST:PORT>',
      'where it listens, if this agent is to connect to it; may be repeated',
      collectOption,
    )
    .option('--json', 'print JSON')
    .action(async (deviceId: string, options: { address?: string[]; json?: true }, command: Command) => {
      const paired = await withAgent(command, async (commands) =>
        commands.pair({ deviceId, addresses: options.address ?? [] }),
      );
      if (options.json === true) printJson(paired);
      else printText(`paired with receiver ${paired.deviceId}`);
    });
  program
    .command('unpair')
    .description('end the pairing with a receiver; its connection ends at once')
    .argument('<DEVICE-ID>')
    .option('--json', 'print JSON')
    .action(async (deviceId: string, options: { json?: true }, command: Command) => {
      const unpaired = await withAgent(command, async (commands) => commands.unpair({ deviceId }));
      if (options.json === true) printJson(unpaired);
      else printText(`no longer paired with ${unpaired.deviceId}`);
    });
}
