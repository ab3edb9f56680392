import type { Command } from 'commander';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { shortenDeviceIds } from '../../shared/cli/device-name.ts';
import { describeMoment } from '../../shared/cli/duration.ts';
import { shortDeviceId, type DeviceId } from '../../shared/identity/device-id.ts';
import { formatTable } from '../../shared/cli/table.ts';
import type { ReceiverAgentStatus, ReceiverStatus } from '../receiver-commands.ts';
import { withRunningReceiver } from './with-receiver.ts';

/** `status`: agents, what is held of them, disk and alarms of the running receiver. */
export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description('agents, what is held of them, disk and alarms')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const status = await withRunningReceiver(command, async (commands) => commands.status({}));
      if (options.json === true) printJson(status);
      else printText(formatReceiverStatus(status, Date.now()));
    });
}

/** The status for people. */
export function formatReceiverStatus(status: ReceiverStatus, nowMs: number): string {
  const moment = (at: string | null): string => describeMoment(at === null ? null : Date.parse(at), nowMs);
  const parts = [
    `device ${status.deviceId}\n`,
    `disk   ${formatDisk(status.disk)}\n`,
    '\n',
    formatAgents(status.agents, moment),
    ...status.agents.flatMap(formatFormerly),
    ...status.agents.flatMap((agent) => agent.folders.flatMap((folder) => formatRecipients(folder, moment))),
    ...formatGoneBy(status.agents),
    ...formatFreezes(status.agents, moment),
    ...status.agents.flatMap(formatForgotten),
    ...status.agents.flatMap(formatRefused),
  ];
  parts.push(formatScrub(status.scrub, moment));
  for (const alarm of status.alarms)
    parts.push(`\nalarm ${alarm.code} (${moment(alarm.since)}): ${alarm.message}\n`);
  return parts.join('');
}

function formatDisk({ usedBytes, freeBytes }: ReceiverStatus['disk']): string {
  if (usedBytes + freeBytes === 0) return 'not there';
  return `${formatByteSize(usedBytes)} used, ${formatByteSize(freeBytes)} free`;
}

function formatScrub(scrub: ReceiverStatus['scrub'], moment: (at: string | null) => string): string {
  const waits = scrub.lacksRoom === null ? '' : ' and no room to make them whole';
  const damaged = scrub.damaged === 0 ? '' : `, ${scrub.damaged} damaged${waits}`;
  if (scrub.done) return `\neverything stored was read through, begun ${moment(scrub.startedAt)}${damaged}\n`;
  const read = `${formatByteSize(scrub.readBytes)} of ${formatByteSize(scrub.wholeBytes)}`;
  const last = scrub.coveredAt === null ? 'the first time' : `the last time begun ${moment(scrub.coveredAt)}`;
  return `\nwhat is stored is being read through: ${read}, ${last}${damaged}\n`;
}

/** For those who have to answer for how long deleted files are kept. */
function formatGoneBy(agents: readonly ReceiverAgentStatus[]): string[] {
  const lines = agents.flatMap(({ folders, frozen }) =>
    folders
      .filter(({ kind }) => kind === 'mirror')
      .map(
        ({ id, deletedGoneBy }) => `a file of ${id} that is deleted today ${goneBy(deletedGoneBy, frozen)}\n`,
      ),
  );
  return lines.length === 0 ? [] : ['\n', ...lines];
}

function goneBy(at: string | null, frozen: boolean): string {
  if (frozen) return 'stays here as long as the agent is frozen';
  if (at === null) return 'may stay here for ever';
  return `has left here by ${at.slice(0, 10)} at the latest, pinned restore points apart`;
}

/** That nothing expires, and how to go on; what was found is in the alarms. */
function formatFreezes(
  agents: readonly ReceiverAgentStatus[],
  moment: (at: string | null) => string,
): string[] {
  const names = shortenDeviceIds(agents.map(({ deviceId }) => deviceId));
  return agents.flatMap(({ deviceId, frozen, freezes }) => {
    if (!frozen) return [];
    const name = names.get(deviceId) ?? deviceId;
    const found = freezes.map(
      ({ folder, code, since }) =>
        `${folder ?? 'agent'} ${code}, found ${since.slice(0, 19)}Z, ${moment(since)}`,
    );
    const why = found.length === 0 ? 'what came of it cannot be judged' : found.join('; ');
    return [
      `\nagent ${name} is frozen (${why}): nothing of it expires\n`,
      `  look at the server first; when all is well: mastokeep-receiver release --agent ${name}\n`,
    ];
  });
}

/** Whose data the device goes on with. */
function formatFormerly({ deviceId, formerly }: ReceiverAgentStatus): string[] {
  if (formerly.length === 0) return [];
  return [`\n${shortDeviceId(deviceId as DeviceId)} goes on with the data of ${formerly.join(', ')}\n`];
}

/** For those who wait for something to be gone. */
function formatForgotten({ points: { forgotten } }: ReceiverAgentStatus): string[] {
  if (forgotten === 0) return [];
  const what = forgotten === 1 ? 'a restore point is' : `${forgotten} restore points are`;
  return [
    `\n${what} forgotten, but not all of what only that held is removed yet: tried again every ten minutes, when no restore reads\n`,
  ];
}

/** A flood of them is a sign of wrong hands. */
function formatRefused({ deviceId, points: { refused } }: ReceiverAgentStatus): string[] {
  if (refused === 0) return [];
  const what = refused === 1 ? 'a restore point was' : `${refused.toLocaleString('en')} restore points were`;
  const name = shortDeviceId(deviceId as DeviceId);
  return [`\n${what} refused of agent ${name} so far: too many at once, too late, or not what they claim\n`];
}

/** Who can read a sealed folder, and the latest change of that. */
function formatRecipients(
  { id, recipients }: ReceiverAgentStatus['folders'][number],
  moment: (at: string | null) => string,
): string[] {
  if (recipients === null || recipients.keyIds === null) return [];
  const readers = recipients.keyIds.length === 0 ? 'a passphrase' : `keys ${recipients.keyIds.join(', ')}`;
  const lines = [`\nfolder ${id} is readable with ${readers}\n`];
  for (const { at, number, added, removed } of recipients.changes.slice(0, 3)) {
    const signs = [...added.map((keyId) => `+${keyId}`), ...removed.map((keyId) => `-${keyId}`)];
    lines.push(`  changed ${moment(at)} with version ${number}: ${signs.join(' ')}\n`);
  }
  return lines;
}

function formatAgents(agents: readonly ReceiverAgentStatus[], moment: (at: string | null) => string): string {
  if (agents.length === 0) return 'no agents: use "mastokeep-receiver join" with the invitation of one\n';
  const names = shortenDeviceIds(agents.map(({ deviceId }) => deviceId));
  const rows = agents.flatMap((agent) => {
    const link = agent.connected ? 'connected' : agent.paired ? 'not connected' : 'unpaired';
    const start = [names.get(agent.deviceId) ?? agent.deviceId, link];
    const used = formatByteSize(agent.usedBytes);
    const quota = agent.quotaBytes === null ? used : `${used} of ${formatByteSize(agent.quotaBytes)}`;
    if (agent.folders.length === 0) return [[...start, quota, '-', '-', '-', '-', '-']];
    return agent.folders.map((folder) => [
      ...start,
      quota,
      folder.id,
      folder.files === null ? '-' : String(folder.files),
      formatByteSize(folder.bytes),
      folder.versions === 0 || folder.kind === 'sealed'
        ? String(folder.versions)
        : `${folder.versions}, ${formatByteSize(folder.versionBytes)}`,
      moment(folder.lastDurableAt),
    ]);
  });
  return formatTable(['AGENT', 'LINK', 'USED', 'FOLDER', 'FILES', 'SIZE', 'VERSIONS', 'LAST RECEIVED'], rows);
}
