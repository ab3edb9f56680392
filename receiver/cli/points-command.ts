import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { parsePinLabel } from '../../shared/cli/pin-label.ts';
import { formatPoints } from '../../shared/cli/point-listing.ts';
import { shortDeviceId, type DeviceId } from '../../shared/identity/device-id.ts';
import { withReceiver } from './with-receiver.ts';

type PointsOptions = { agent?: string; json?: true };

/** `points`, `pin`, `unpin`: the restore points that are held. */
export function addPointsCommands(program: Command): void {
  program
    .command('points')
    .description('list the restore points that are held, newest first')
    .option('--agent <DEVICE-ID>', 'only of this agent')
    .option('--json', 'print JSON')
    .action(async (options: PointsOptions, command: Command) => {
      const listing = await withReceiver(command, async (commands) =>
        commands.points({ agent: options.agent ?? null }),
      );
      if (options.json === true) printJson(listing);
      else printText(formatPoints(listing.points), ...listing.damaged.map(describeDamagedPoint));
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

/** For people. */
function describeDamagedPoint({ id, agent }: { id: string; agent: string }): string {
  const where = `of agent ${shortDeviceId(agent as DeviceId)}`;
  return `restore point ${id} ${where}: its files are damaged, nothing can be restored from it; docs/scrub.md says what to do`;
}

/** For people. */
export function describeUnpinned({ id, wasPinned }: { id: string; wasPinned: boolean }): string {
  return wasPinned ? `restore point ${id} is no longer pinned` : `restore point ${id} had no pin`;
}
