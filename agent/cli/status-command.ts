import type { Command } from 'commander';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { shortenDeviceIds } from '../../shared/cli/device-name.ts';
import { describeFuture, describeMoment } from '../../shared/cli/duration.ts';
import { formatTable } from '../../shared/cli/table.ts';
import type { AgentStatus } from '../agent-commands.ts';
import { passphraseWarning } from '../seal/recipient-warnings.ts';
import { withRunningAgent } from './with-agent.ts';

type ReceiverFolder = AgentStatus['receivers'][number]['folders'][number];

/** `status`: folders, receivers, lag and alarms of the running agent. */
export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description('folders, receivers, lag and alarms')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const status = await withRunningAgent(command, async (commands) => commands.status({}));
      if (options.json === true) printJson(status);
      else printText(formatAgentStatus(status, Date.now()));
    });
}

/** The status for people. */
export function formatAgentStatus(status: AgentStatus, nowMs: number): string {
  const moment = (at: string | null): string => describeMoment(at === null ? null : Date.parse(at), nowMs);
  const parts = [`device ${status.deviceId}\n`];
  if (status.paused) {
    parts.push(
      status.pausedUntil === null
        ? 'paused until "resume"\n'
        : `paused, goes on ${describeFuture(Date.parse(status.pausedUntil), nowMs)}\n`,
    );
  }
  parts.push(
    '\n',
    status.folders.length === 0
      ? 'no folders: add one with "mastokeep-agent folder add"\n'
      : formatTable(
          ['FOLDER', 'STATE', 'FILES', 'SIZE', 'LAST SCAN', 'LAST CHANGE', 'WATCHING', 'UNREADABLE'],
          status.folders.map((folder) => [
            folder.id,
            folder.reason === null ? folder.state : `${folder.state}: ${inCell(folder.reason)}`,
            folder.kind === 'sealed' ? '-' : String(folder.files),
            formatByteSize(folder.bytes),
            moment(folder.lastScanAt),
            folder.lastVersionAt === null ? '-' : moment(folder.lastVersionAt),
            watchingOf(folder),
            String(folder.unreadable),
          ]),
        ),
    ...formatSealing(status),
    '\n',
    formatReceivers(status),
    ...formatUpload(status),
  );
  for (const alarm of status.alarms)
    parts.push(`\nalarm ${alarm.code} (${moment(alarm.since)}): ${indented(alarm.message)}\n`);
  return parts.join('');
}

/** A sealed folder is not watched: it has a schedule. */
function watchingOf({ kind, watching, watchingReason }: AgentStatus['folders'][number]): string {
  if (kind === 'sealed') return '-';
  return watchingReason === null ? watching : `${watching}: ${watchingReason}`;
}

const cellCharactersMax = 110;

/** What programs say has many lines: in a table its beginning, the alarm has all of it. */
function inCell(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length <= cellCharactersMax ? line : `${line.slice(0, cellCharactersMax - 1).trimEnd()}…`;
}

function indented(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, '\n  ');
}

/** Nothing where no folder is sealed and no key is there. */
function formatSealing({ sealing, folders }: AgentStatus): string[] {
  const { mode, recipients, passphraseFile, problem } = sealing;
  if (problem !== null) return [`\nnothing can be sealed: ${problem}\n`];
  if (mode === 'none') {
    if (!folders.some(({ kind }) => kind === 'sealed')) return [];
    return ['\nno key to seal to: add one with "mastokeep-agent recipient add FILE.asc"\n'];
  }
  if (mode === 'passphrase') return [`\n${passphraseWarning(passphraseFile ?? '')}\n`];
  return [
    '\n',
    formatTable(
      ['SEALED TO', 'OWNER', 'EXPIRES'],
      recipients.map(({ fingerprint, userIds, expiresAt }) => [
        fingerprint,
        userIds[0] ?? '-',
        expiresAt === null ? 'never' : expiresAt.slice(0, 10),
      ]),
    ),
    ...(passphraseFile === null
      ? []
      : [`a passphrase that older versions need lies on this server, in ${passphraseFile}\n`]),
  ];
}

function formatReceivers(status: AgentStatus): string {
  if (status.receivers.length === 0) {
    return 'no receivers: make an invitation with "mastokeep-agent invite"\n';
  }
  const names = shortenDeviceIds(status.receivers.map(({ deviceId }) => deviceId));
  const rows = status.receivers.flatMap((receiver) => {
    const name = names.get(receiver.deviceId) ?? receiver.deviceId;
    const link = receiver.connected ? 'connected' : 'not connected';
    const rate = receiver.uploadKibPerSecond;
    const connected = rate === null ? link : `${link}, at most ${rate} KiB/s`;
    if (receiver.folders.length === 0) return [[name, connected, '-', '-']];
    return receiver.folders.map((folder) => [name, connected, folder.id, describeLack(folder)]);
  });
  return formatTable(['RECEIVER', 'LINK', 'FOLDER', 'MISSING THERE'], rows);
}

/** Nothing where nothing is limited, and no hours of the schedule say so. */
function formatUpload({ upload: { totalKibPerSecond, period } }: AgentStatus): string[] {
  const hours = period === null ? '' : `, from ${period.from} to ${period.to}`;
  if (totalKibPerSecond !== null)
    return [`\nupload: at most ${totalKibPerSecond} KiB/s to all receivers together${hours}\n`];
  return period === null ? [] : [`\nupload: no limit for all receivers together${hours}\n`];
}

function describeLack({ lagFiles, lagBytes, lacksVersion }: ReceiverFolder): string {
  if (lagFiles > 0) return `${lagFiles} ${lagFiles === 1 ? 'file' : 'files'}, ${formatByteSize(lagBytes)}`;
  return lacksVersion ? 'the latest version, until the next dump' : 'nothing';
}
