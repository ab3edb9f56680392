import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { parsePinLabel } from '../../shared/cli/pin-label.ts';
import { namesNoPoint, printLacking, type LackingPages } from '../../shared/cli/lacking-listing.ts';
import { formatPoint, formatPoints } from '../../shared/cli/point-listing.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { shortDeviceId, type DeviceId } from '../../shared/identity/device-id.ts';
import type { ReceiverCommands } from '../receiver-commands.ts';
import { withReceiver } from './with-receiver.ts';

type PointsOptions = { agent?: string; lacking?: true; json?: true };

const listCommand = 'mastokeep-receiver points';

/** `points`, `pin`, `unpin`: the restore points that are held. */
export function addPointsCommands(program: Command): void {
  program
    .command('points')
    .description('list the restore points that are held, newest first')
    .argument('[POINT]', 'only this one, with what it lacks; the beginning of its name will do')
    .option('--agent <DEVICE-ID>', 'only of this agent')
    .option('--lacking', 'name every file that POINT lacks')
    .option('--json', 'print JSON')
    .action(async (point: string | undefined, options: PointsOptions, command: Command) => {
      if (options.lacking === true && point === undefined) throw namesNoPoint();
      await withReceiver(command, async (commands) => printPoints(commands, point ?? null, options));
    });
  program
    .command('pin')
    .description('keep a restore point for ever')
    .argument('<POINT>', 'its name, as "points" shows it; the beginning will do')
    .argument('<LABEL>', 'why, or what it shall be called', parsePinLabel)
    .option('--json', 'print JSON')
    .action(async (point: string, label: string, options: { json?: true }, command: Command) => {
      const { id } = await withReceiver(command, async (commands) => commands.pin({ point, label }));
      if (options.json === true) printJson({ id, label });
      else printText(`restore point ${id} is pinned: ${label}`);
    });
  program
    .command('unpin')
    .description('let the rules of retention decide about a restore point again')
    .argument('<POINT>', 'its name, as "points" shows it; the beginning will do')
    .option('--json', 'print JSON')
    .action(async (point: string, options: { json?: true }, command: Command) => {
      const { id, wasPinned } = await withReceiver(command, async (commands) => commands.unpin({ point }));
      if (options.json === true) printJson({ id, wasPinned });
      else printText(describeUnpinned({ id, wasPinned }));
    });
}

async function printPoints(
  commands: ReceiverCommands,
  point: string | null,
  { agent, lacking, json }: PointsOptions,
): Promise<void> {
  const listing = await commands.points({ agent: agent ?? null, point });
  const damaged = listing.damaged.map(describeDamagedPoint);
  const [only] = point === null ? [] : listing.points;
  if (lacking === true) {
    if (only === undefined) throw new CodedError('POINT_UNKNOWN', damaged.join());
    const pages: LackingPages = async (folder, after) => commands.lacking({ point: only.id, folder, after });
    await printLacking(only, pages, json === true);
  } else if (json === true) printJson(listing);
  else if (only !== undefined) printText(formatPoint(only, listCommand));
  else printText(...(point === null ? [formatPoints(listing.points, listCommand)] : []), ...damaged);
}

/** For people. */
function describeDamagedPoint({ id, agent }: { id: string; agent: string }): string {
  const where = `of agent ${shortDeviceId(agent as DeviceId)}`;
  return `restore point ${id} ${where}: its files are damaged, nothing can be restored from it; docs/scrub.md says what to do`;
}

/** For people. */
export function describeUnpinned({ id, wasPinned }: { id: string; wasPinned: boolean }): string {
  return wasPinned ? `restore point ${id} is no longer pinned` : `restore point ${id} had no pin`;
}
