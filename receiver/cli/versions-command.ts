import type { Command } from 'commander';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { describeMoment } from '../../shared/cli/duration.ts';
import { formatTable } from '../../shared/cli/table.ts';
import type { SealedVersionListing, VersionListing } from '../receiver-commands.ts';
import { withReceiver } from './with-receiver.ts';

/** `versions`: what is held of one path, or of a whole sealed folder. */
export function addVersionsCommand(program: Command): void {
  program
    .command('versions')
    .description('what is held of one file, or of a whole sealed folder, newest first')
    .argument('<FOLDER>')
    .argument('[PATH]', 'the path below a mirror folder; a sealed folder has none')
    .option('--agent <DEVICE-ID>', 'whose folder; may be left out where there is one agent')
    .option('--json', 'print JSON')
    .action(
      async (
        folder: string,
        path: string | undefined,
        options: { agent?: string; json?: true },
        command: Command,
      ) => {
        const found = await withReceiver(command, async (commands) =>
          commands.versions({ folder, path: path ?? null, agent: options.agent ?? null }),
        );
        const { agent, kind, versions } = found;
        if (options.json === true) printJson({ agent, folder, kind, path: path ?? null, versions });
        else if (versions.length > 0) printText(formatVersions(found, Date.now()));
        else printText(`nothing is held of ${path === undefined ? '' : `${path} in `}folder ${folder}`);
      },
    );
}

function formatVersions(
  found:
    | { kind: 'mirror'; versions: readonly VersionListing[] }
    | { kind: 'sealed'; versions: readonly SealedVersionListing[] },
  nowMs: number,
): string {
  const moment = (at: string): string =>
    `${at.replace(/\.\d+Z$/, 'Z')} (${describeMoment(Date.parse(at), nowMs)})`;
  if (found.kind === 'mirror') {
    const rows = found.versions.map((version) => [
      version.current ? `${version.name} (current)` : version.name,
      formatByteSize(version.size),
      moment(version.receivedAt),
      version.replacedAt === null ? '-' : moment(version.replacedAt),
    ]);
    return formatTable(['VERSION', 'SIZE', 'RECEIVED', 'REPLACED'], rows);
  }
  const rows = found.versions.map((version) => [
    String(version.number),
    moment(version.createdAt),
    moment(version.receivedAt),
    String(version.packs),
    formatByteSize(version.bytes),
    version.epoch,
    version.recipients.length === 0 ? 'a passphrase' : version.recipients.join(' '),
    version.complete ? 'yes' : 'no: packs are missing',
  ]);
  return formatTable(
    ['VERSION', 'MADE', 'RECEIVED', 'PACKS', 'SIZE', 'EPOCH', 'READABLE WITH', 'COMPLETE'],
    rows,
  );
}
