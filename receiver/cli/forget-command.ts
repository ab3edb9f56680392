import type { Command } from 'commander';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { askLine } from '../../shared/io/terminal.ts';
import type { ForgetListing } from '../receiver-commands.ts';
import { withReceiver } from './with-receiver.ts';

type ForgetOptions = { dryRun?: true; yes?: true; json?: true };

/** `forget`: the owner takes restore points away, and what only they hold. */
export function addForgetCommand(program: Command): void {
  program
    .command('forget')
    .description('remove restore points, and at once all that nothing else needs; cannot be taken back')
    .argument('<POINT...>', 'their names, as "points" shows them; the beginnings will do')
    .option('--dry-run', 'only say what would go')
    .option('--yes', 'ask nothing')
    .option('--json', 'print JSON')
    .action(async (points: string[], options: ForgetOptions, command: Command) => {
      const isDryRun = options.dryRun === true;
      const listing = await withReceiver(command, async (commands) => {
        const planned = await commands.forget({ points, dryRun: true });
        if (isDryRun) return planned;
        if (options.yes !== true) await confirm(planned);
        return commands.forget({ points: planned.points.map(({ id }) => id), dryRun: false });
      });
      if (options.json === true) printJson({ ...listing, dryRun: isDryRun });
      else if (isDryRun) printText(...describePlan(listing));
      else printText(...describeDone(listing));
    });
}

/** @throws CodedError USAGE (nobody to ask, or not meant so) */
async function confirm(planned: ForgetListing): Promise<void> {
  const question = [...describePlan(planned), 'This cannot be taken back. Forget them? (yes/no) '].join('\n');
  const answer = await askLine(question);
  if (answer === 'yes') return;
  throw new CodedError('USAGE', 'nothing was forgotten', {
    hint: answer === '' ? 'answer "yes", or give --yes where nobody can be asked' : 'it takes a "yes"',
  });
}

function describePlan({ points, versions, bytes, agents }: ForgetListing): string[] {
  const fewest = Math.min(...agents.map(({ left }) => left));
  return [
    ...points.map(
      ({ id, at }) =>
        `  ${id}  ${at === null ? 'damaged, so nothing can be restored from it' : `begun ${at}`}`,
    ),
    `what nothing else needs goes with ${points.length === 1 ? 'it' : 'them'}: ${described(versions)}, ${formatByteSize(bytes)}`,
    ...(fewest === 0
      ? ['no restore point is left then: only what is there now can be restored, and what is kept by age']
      : []),
  ];
}

function describeDone({ points, versions, bytes, agents }: ForgetListing): string[] {
  const what = points.length === 1 ? 'restore point is' : 'restore points are';
  return [
    `${points.length} ${what} forgotten; removed what nothing else needs: ${described(versions)}, ${formatByteSize(bytes)}`,
    ...agents.flatMap(({ waitsFor }) =>
      waitsFor === null
        ? []
        : [
            `the rest waits for ${waitsFor}; it is tried again every ten minutes while the receiver runs, and "status" tells until it is gone`,
          ],
    ),
  ];
}

function described(versions: number): string {
  return versions === 1 ? '1 version' : `${versions} versions`;
}
