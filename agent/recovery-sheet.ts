import type { DeviceId } from '../shared/identity/device-id.ts';
import { defaultPort } from '../shared/link/address.ts';
import type { FolderConfig } from './config.ts';

/** What a person needs on paper to get everything back when the server is gone. Nothing of it is secret. */
export type RecoverySheet = {
  deviceId: DeviceId;
  /** Where receivers reach the agent, as texts; empty when it does not listen. */
  addresses: readonly string[];
  folders: readonly { id: string; kind: FolderConfig['kind']; source: string }[];
  sealedTo: 'recipients' | 'passphrase' | 'none';
  recipients: readonly { fingerprint: string; userIds: readonly string[]; expiresAt: string | null }[];
  /** What is wrong with keys that are kept, each in a line: nothing is sealed as long as there is any. */
  unusableKeys: readonly string[];
  /** `addresses`: where the receiver listens; empty when it connects to the server. */
  receivers: readonly { deviceId: DeviceId; addresses: readonly string[] }[];
  /** ISO 8601. */
  madeAt: string;
};

const columnsMax = 80;
const restoredTo = '/srv/restored';

/** Where a folder comes from, without anything that may be a password: a command is not shown. */
export function describeFolderSource(folder: FolderConfig): string {
  if (folder.kind === 'mirror') return folder.path;
  const { source } = folder;
  if ('paths' in source) return source.paths.join(', ');
  return 'postgres' in source ? 'a PostgreSQL database' : 'the output of a command';
}

/** The sheet as text to print, at most 80 columns wide. */
export function formatRecoverySheet(sheet: RecoverySheet): string {
  const lines = [
    `MASTOKEEP RECOVERY SHEET  ${sheet.madeAt.slice(0, 10)}`,
    'Keep it on paper, away from the server and from the receivers. Print it anew',
    'after changes: mastokeep-agent recovery-sheet',
    '',
    'SERVER (agent)',
    `  device ID  ${sheet.deviceId}`,
    ...labelled('addresses', sheet.addresses.length > 0 ? sheet.addresses : ['none: it dials its receivers']),
    '',
    'FOLDERS',
    ...(sheet.folders.length === 0 ? ['  none yet'] : sheet.folders.flatMap(folderLines)),
    '',
    ...keyLines(sheet),
    '',
    'RECEIVERS',
    ...(sheet.receivers.length === 0 ? ['  none yet'] : sheet.receivers.flatMap(receiverLines)),
    '  Write here where they stand and how to log in without the server:',
    '',
    '  ____________________________________________________________________________',
    '',
    ...restoreLines(sheet),
  ];
  return `${lines.map(printable).flatMap(wrap).join('\n')}\n`;
}

function folderLines({ id, kind, source }: RecoverySheet['folders'][number]): string[] {
  return [`  ${id} (${kind}): ${source}`];
}

function keyLines({ sealedTo, recipients, unusableKeys, folders }: RecoverySheet): string[] {
  if (sealedTo === 'recipients') {
    return [
      'KEYS: each of these private keys opens the sealed folders; keep each, with its',
      'passphrase, in two places that are neither the server nor a receiver',
      ...recipients.flatMap(({ fingerprint, userIds, expiresAt }) => [
        ...groups(fingerprint),
        ...userIds.map((userId) => `    ${userId}`),
        ...(expiresAt === null ? [] : [`    expires on ${expiresAt.slice(0, 10)}`]),
      ]),
      ...(unusableKeys.length === 0
        ? []
        : [
            '  NOT USABLE; NOTHING IS SEALED UNTIL THIS IS MENDED OR REMOVED:',
            ...unusableKeys.map((problem) => `    ${problem}`),
          ]),
    ];
  }
  if (sealedTo === 'passphrase') {
    return ['KEYS: the sealed folders open with the passphrase. It is not on this sheet.'];
  }
  const sealed = folders.some(({ kind }) => kind === 'sealed');
  return [
    `KEYS: none yet${sealed ? ': NOTHING IS SEALED before "mastokeep-agent recipient add FILE.asc"' : ''}`,
  ];
}

/** As `gpg --fingerprint` shows it, at most ten groups of four a line. */
function groups(fingerprint: string): string[] {
  const found = fingerprint.match(/.{1,4}/g) ?? [];
  const lines: string[] = [];
  for (let at = 0; at < found.length; at += 10) lines.push(`  ${found.slice(at, at + 10).join(' ')}`);
  return lines;
}

function receiverLines({ deviceId, addresses }: RecoverySheet['receivers'][number]): string[] {
  const where = addresses.length > 0 ? addresses : ['it dials the server'];
  return [`  device ID  ${deviceId}`, ...labelled('addresses', where)];
}

function labelled(label: string, values: readonly string[]): string[] {
  return values.map((value, position) => `  ${(position === 0 ? label : '').padEnd(9)}  ${value}`);
}

/** Command lines begin in column 3 and go on behind a backslash: the tests run them. */
function restoreLines({ deviceId, folders, sealedTo, addresses }: RecoverySheet): string[] {
  const agent = `    --agent ${deviceId} \\`;
  const keyed = sealedTo === 'recipients';
  const end = keyed ? `    --key private.asc --to ${restoredTo}` : `    --to ${restoredTo}`;
  const port = addresses.map((address) => /:(\d+)$/.exec(address)?.[1]).find((found) => found !== undefined);
  const database = folders.find(
    ({ kind, source }) => kind === 'sealed' && source === 'a PostgreSQL database',
  );
  return [
    'TO RESTORE: install mastokeep on a new server as its README says; no init.',
    'A. The receiver can be dialled. On the receiver:',
    '  mastokeep-receiver invite --role restore \\',
    `    --agent ${deviceId}`,
    'On the new server, with the invitation that this prints:',
    '  mastokeep-agent restore --from INVITATION \\',
    agent,
    end,
    'B. The receiver is behind a router. On the new server:',
    `  mastokeep-agent restore --listen 0.0.0.0:${port ?? defaultPort} \\`,
    agent,
    end,
    'On the receiver, with the invitation that this prints:',
    '  mastokeep-receiver join INVITATION \\',
    `    --agent ${deviceId}`,
    ...(database === undefined
      ? []
      : [
          'The database into PostgreSQL (with B: --listen instead of --from):',
          '  mastokeep-agent restore --from INVITATION \\',
          agent,
          `    ${keyed ? '--key private.asc ' : ''}--folder ${database.id} \\`,
          '    --pg-restore dbname=mastodon_production',
        ]),
    'Without this software: RESTORE.txt in the data directory of a receiver.',
  ];
}

/** Without control characters: names of keys and folders are other people's. */
function printable(line: string): string {
  return line.replaceAll(/\p{Cc}/gu, '?');
}

function wrap(line: string): string[] {
  const characters = Array.from(line);
  if (characters.length <= columnsMax) return [line];
  const rest = characters.slice(columnsMax).join('').trimStart();
  return [characters.slice(0, columnsMax).join(''), ...wrap(`    ${rest}`)];
}
