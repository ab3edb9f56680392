import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { addIdCommand } from '../../shared/cli/id-command.ts';
import { printInvitation } from '../../shared/cli/made-invitation.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { addUnpairCommand } from '../../shared/cli/unpair-command.ts';
import { initialisedAgentHome } from './agent-home.ts';
import { withAgent } from './with-agent.ts';

/** `id`, `invite`, `join`, `pair`, `unpair`. */
export function addPairingCommands(program: Command): void {
  addIdCommand(program, initialisedAgentHome);
  program
    .command('invite')
    .description('print an invitation for one receiver to join, good for ten minutes')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const made = await withAgent(command, async (commands) => commands.invite({}));
      const next = 'on the receiver: mastokeep-receiver join INVITATION';
      printInvitation(made, { json: options.json === true, next });
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
  addUnpairCommand(program, {
    description: 'end the pairing with a receiver; its connection ends at once',
    unpair: async (command, deviceId) =>
      withAgent(command, async (commands) => commands.unpair({ deviceId })),
    remark: '',
  });
}
