import { Option, type Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { addIdCommand } from '../../shared/cli/id-command.ts';
import { printInvitation } from '../../shared/cli/made-invitation.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { addUnpairCommand } from '../../shared/cli/unpair-command.ts';
import { askLine } from '../../shared/io/terminal.ts';
import { parseInvitation } from '../../shared/link/invitation.ts';
import type { ReceiverCommands } from '../receiver-commands.ts';
import { initialisedReceiverHome } from './receiver-home.ts';
import { withReceiver } from './with-receiver.ts';

type Role = 'replica' | 'restore';
type RoleOptions = { role: Role; agent?: string; json?: true };

/** `id`, `invite`, `join`, `pair`, `unpair`. */
export function addPairingCommands(program: Command): void {
  addIdCommand(program, initialisedReceiverHome);
  addInvite(program);
  addJoin(program);
  addPair(program);
  addUnpairCommand(program, {
    description: 'end the pairing with a device; its connection ends at once, its data stays',
    unpair: async (command, deviceId) =>
      withReceiver(command, async (commands) => commands.unpair({ deviceId })),
    remark: '; its data stays',
  });
}

function addInvite(program: Command): void {
  program
    .command('invite')
    .description('print an invitation for one device to join, good for ten minutes')
    .addOption(roleOption())
    .option('--agent <DEVICE-ID>', 'whose data a restoring server may read')
    .option('--json', 'print JSON')
    .action(async (options: RoleOptions, command: Command) => {
      const made = await withReceiver(command, async (commands) =>
        commands.invite({ role: options.role, agent: options.agent ?? null }),
      );
      const next =
        options.role === 'restore'
          ? 'on the new server: mastokeep-agent restore --from INVITATION --to DIR'
          : 'on the server: mastokeep-agent join INVITATION';
      printInvitation(made, { json: options.json === true, next });
    });
}

function addJoin(program: Command): void {
  program
    .command('join')
    .description('accept the invitation of an agent, or of a server that restores')
    .argument('<INVITATION>')
    .option('--agent <DEVICE-ID>', 'for a server that restores: whose data it may read')
    .option('--json', 'print JSON')
    .action(async (invitation: string, options: { agent?: string; json?: true }, command: Command) => {
      const joined = await withReceiver(command, async (commands) => {
        const agent = options.agent ?? (await askForAgent(commands, invitation));
        return commands.join({ invitation, agent });
      });
      if (options.json === true) printJson(joined);
      else if (joined.role === 'restore') printText(`device ${joined.deviceId} may restore now`);
      else printText(`paired with agent ${joined.deviceId}`);
    });
}

/** Asks whose data a server may read that restores, where that is open and a person can answer; null otherwise. */
async function askForAgent(commands: ReceiverCommands, invitation: string): Promise<string | null> {
  const { offer } = parseInvitation(invitation);
  if (offer.role === 'replica' || offer.agentId !== null) return null;
  const { agents } = await commands.agents({});
  if (agents.length < 2) return null;
  const answer = await askLine(`Whose data may it read?\n${agents.join('\n')}\nThe beginning of the ID: `);
  return answer === '' ? null : answer;
}

function addPair(program: Command): void {
  program
    .command('pair')
    .description('pair with a device by its ID; it must pair with this one too')
    .argument('<DEVICE-ID>')
    .option('--address <HOST:PORT>', 'where it listens; may be repeated', collectOption)
    .addOption(roleOption())
    .option('--agent <DEVICE-ID>', 'whose data a restoring server may read')
    .option('--json', 'print JSON')
    .action(async (deviceId: string, options: RoleOptions & { address?: string[] }, command: Command) => {
      const paired = await withReceiver(command, async (commands) =>
        commands.pair({
          deviceId,
          addresses: options.address ?? [],
          role: options.role,
          agent: options.agent ?? null,
        }),
      );
      if (options.json === true) printJson(paired);
      else printText(`paired with ${paired.deviceId}`);
    });
}

function roleOption(): Option {
  return new Option('--role <ROLE>', 'replica: it is an agent; restore: it may read the data of one agent')
    .choices(['replica', 'restore'])
    .default('replica');
}
