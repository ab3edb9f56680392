import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { shortenDeviceIds } from '../../shared/cli/device-name.ts';
import { formatTable } from '../../shared/cli/table.ts';
import type { Reindexed } from '../reindex-copies.ts';
import { withReceiver } from './with-receiver.ts';

/** `reindex`: builds the databases again from the plain files, and begins lost copies anew. Exit code 1 where a folder was passed over. */
export function addReindexCommand(program: Command): void {
  program
    .command('reindex')
    .description(
      'build the databases again from the plain files; only a copy whose files are lost begins empty and is asked for again',
    )
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const done = await withReceiver(command, async (commands) => commands.reindex({}));
      if (options.json === true) printJson(done);
      else printText(...formatReindexed(done));
      if (done.closed.length > 0) process.exitCode = 1;
    });
}

/** What was done, for people. */
export function formatReindexed({ folders, closed }: Reindexed): string[] {
  const names = shortenDeviceIds([...folders, ...closed].map(({ agent }) => agent));
  const rows = folders.map(({ agent, id, files, versions }) => [
    names.get(agent) ?? agent,
    id,
    files === null ? '-' : String(files),
    String(versions),
  ]);
  const passed = closed.map(
    ({ agent, id }) =>
      `folder ${id} of agent ${names.get(agent) ?? agent} cannot be opened and was passed over: see "mastokeep-receiver status"`,
  );
  if (rows.length > 0) return [formatTable(['AGENT', 'FOLDER', 'FILES', 'VERSIONS'], rows), ...passed];
  return passed.length > 0 ? passed : ['nothing is held yet'];
}
