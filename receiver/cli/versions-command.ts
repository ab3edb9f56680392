import type { Command } from 'commander';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { describeMoment } from '../../shared/cli/duration.ts';
import { formatTable } from '../../shared/cli/table.ts';
import { withReceiver } from './with-receiver.ts';

/** `versions`: what is held of one path. */
export function addVersionsCommand(program: Command): void {
  program
    .command('versions')
    .description('what is held of one file, newest first')
    .argument('<FOLDER>')
    .argument('<PATH>', 'the path below the folder')
    .option('--agent <DEVICE-ID>', 'whose file; may be left out where there is one agent')
    .option('--json', 'print JSON')
    .action(
      async (folder: string, path: string, options: { agent?: string; json?: true }, command: Command) => {
        const found = await withReceiver(command, async (commands) =>
          commands.versions({ folder, path, agent: options.agent ?? null }),
        );
        if (options.json === true) {
          printJson({ agent: found.agent, folder, path, versions: found.versions });
          return;
        }
        if (found.versions.length === 0) {
          printText(`nothing is held of ${path} in folder ${folder}`);
          return;
        }
        const nowMs = Date.now();
        const moment = (at: string): string =>
          `${at.replace(/\.\d+Z$/, 'Z')} (${describeMoment(Date.parse(at), nowMs)})`;
        const rows = found.versions.map((version) => [
          version.current ? `${version.name} (current)` : version.name,
          formatByteSize(version.size),
          moment(version.receivedAt),
          version.replacedAt === null ? '-' : moment(version.replacedAt),
        ]);
        printText(formatTable(['VERSION', 'SIZE', 'RECEIVED', 'REPLACED'], rows));
      },
    );
}
