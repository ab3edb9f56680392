import { type Command } from 'commander';
import { printText } from '../../shared/cli/command-output.ts';
import { collectOption } from '../../shared/cli/repeatable-option.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { parseTypedDeviceId } from '../../shared/identity/device-id.ts';
import { localAddresses } from '../../shared/io/local-addresses.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { parseAddress } from '../../shared/link/address.ts';
import { defaultLinkLimits } from '../../shared/link/link-limits.ts';
import type { RestoreConnection } from '../restore/restore-connection.ts';
import { agentHome } from './agent-home.ts';

/** How a command comes to the receiver that it reads from. */
export type ReceiverRoute = { from?: string; listen?: string; advertise: string[]; agent?: string };

/** How long a command waits for a receiver that is away. */
export const receiverPatienceMs = 10 * 60_000;

/** Adds `--from`, `--listen`, `--advertise` and `--agent`. */
export function addRouteOptions(command: Command): Command {
  return command
    .option('--from <INVITATION|DEVICE-ID@HOST:PORT>', 'the receiver to connect to')
    .option('--listen <HOST:PORT>', 'wait for a receiver that joins the invitation printed')
    .option(
      '--advertise <HOST:PORT>',
      'with --listen: the address in the invitation; may be repeated',
      collectOption,
      [],
    )
    .option(
      '--agent <DEVICE-ID>',
      'whose data; signatures are checked against a whole ID, not against a shortened one',
    );
}

/** @throws CodedError USAGE: neither, or both, of --from and --listen */
export function assertRoute({ from, listen }: Pick<ReceiverRoute, 'from' | 'listen'>): void {
  if ((from === undefined) === (listen === undefined))
    throw new CodedError('USAGE', 'where from? give either --from or --listen');
}

/**
 * The connection that the options ask for. With `--listen` the invitation is the last that is printed on stdout before
 * the result, or with `json`, where stdout belongs to the result, on stderr.
 * @throws CodedError those of RestoreConnection.open
 */
export async function openReceiverRoute(
  options: ReceiverRoute,
  { command, json, note }: { command: Command; json: boolean; note: (line: string) => void },
): Promise<RestoreConnection> {
  // Loaded only now: the other commands need nothing of it.
  const { RestoreConnection: Connection } = await import('../restore/restore-connection.ts');
  const agent = options.agent === undefined ? null : parseTypedDeviceId(options.agent);
  return Connection.open(
    {
      // What matters of the links is told by the notes.
      logger: silentLogger,
      onNote: note,
      onInvitation: (invitation) => printInvitation(invitation, json),
      machineAddresses: localAddresses,
      now: Date.now,
    },
    {
      agentHome: agentHome(command),
      limits: defaultLinkLimits,
      route:
        options.listen === undefined
          ? { from: options.from ?? '', agent }
          : { listen: parseAddress(options.listen), advertise: options.advertise.map(parseAddress), agent },
    },
  );
}

function printInvitation(invitation: string, json: boolean): void {
  const lines = ['on the receiver: mastokeep-receiver join INVITATION', '', invitation];
  if (json) process.stderr.write(`${lines.join('\n')}\n`);
  else printText(...lines);
}
