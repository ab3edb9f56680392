import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import type { Succeeded } from '../succeed-device.ts';
import { withReceiver } from './with-receiver.ts';

/** `succeed`: a rebuilt server goes on with the data of the old one. */
export function addSucceedCommand(program: Command): void {
  program
    .command('succeed')
    .description(
      "let a rebuilt server go on with the old one's data and history, without a transfer of files",
    )
    .argument('<OLD-ID>', 'the device that is lost; the beginning will do')
    .argument('<NEW-ID>', 'what "mastokeep-agent id" prints on the new server')
    .option('--json', 'print JSON')
    .action(async (old: string, next: string, options: { json?: true }, command: Command) => {
      const done = await withReceiver(command, async (commands) => commands.succeed({ old, next }));
      if (options.json === true) {
        printJson(done);
        return;
      }
      printText(...describeSucceeded(done));
    });
}

/** What it came to, for people. */
export function describeSucceeded(done: Succeeded): string[] {
  const folders = done.folders.join(', ');
  return [
    done.already
      ? `device ${done.new} goes on with the data of ${done.old} already: ${folders}`
      : `device ${done.new} goes on with the data of ${done.old}: ${folders}`,
    `${done.old} can no longer connect here; if the new one is not paired yet: mastokeep-receiver join INVITATION`,
  ];
}
