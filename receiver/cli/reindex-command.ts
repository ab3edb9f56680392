import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { shortenDeviceIds } from '../../shared/cli/device-name.ts';
import { formatTable } from '../../shared/cli/table.ts';
import { withReceiver } from './with-receiver.ts';

/** `reindex`: builds the databases again from the plain files, and begins lost copies anew. */
export function addReindexCommand(program: Command): void {
  program
    .command('reindex')
    .description(
      'build the databases again from the plain files; only a copy whose files are lost begins empty and is asked for again',
    )
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const done = await withReceiver(command, async (commands) => commands.reindex({}));
      if (options.json === true) {
        printJson(done);
        return;
      }
      const names = shortenDeviceIds(done.folders.map(({ agent }) => agent));
      const rows = done.folders.map((folder) => [
        names.get(folder.agent) ?? folder.agent,
        folder.id,
        folder.files === null ? '-' : String(folder.files),
        String(folder.versions),
      ]);
      printText(
        rows.length === 0
          ? 'nothing is held yet'
          : formatTable(['AGENT', 'FOLDER', 'FILES', 'VERSIONS'], rows),
      );
    });
}
