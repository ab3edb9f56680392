type ErrorTraits = {
  /** The same attempt may succeed later without a person's help. */
  retryable: boolean;
  /** Exit code of a command that ends with it: 1 failed, 2 usage or config, 3 done in part, 4 timed out. */
  exitCode: 1 | 2 | 3 | 4;
  /** May be told to the device at the other end of a link. */
  crossesWire: boolean;
  /** One sentence for docs/errors.md. */
  meaning: string;
};

const entry = (
  meaning: string,
  traits: { retryable?: boolean; exitCode?: 1 | 2 | 3 | 4; crossesWire?: boolean } = {},
): ErrorTraits => ({ retryable: false, exitCode: 1, crossesWire: false, ...traits, meaning });

/** Every error code there is; docs/errors.md lists the same and a test keeps them equal. Sorted by name. */
export const errorTable = {
  ADDRESS_INVALID: entry('an address is not HOST:PORT', { exitCode: 2 }),
  ALREADY_RUNNING: entry('another process runs on this home'),
  CLOCK_DAMAGED: entry('the file of the clock that ages are counted by was damaged'),
  CLOCK_JUMPED: entry('the clock on the wall and the one that ages are counted by differ by more than a day'),
  CONFIG_INVALID: entry('the configuration file or an option does not make sense', { exitCode: 2 }),
  CONTENT_GONE: entry('the receiver no longer holds this content, or its copy is damaged'),
  CONTENT_MISMATCH: entry('received bytes do not have the announced hash', {
    retryable: true,
    crossesWire: true,
  }),
  COPY_DAMAGED: entry(
    'stored files are damaged or missing; their content is asked for again where that helps',
    {
      retryable: true,
    },
  ),
  DATABASE_CORRUPT: entry('a database file cannot be used; the receiver rebuilds it from its journal'),
  DEVICE_ID_INVALID: entry('a device ID has a wrong length, character or check character', { exitCode: 2 }),
  DEVICE_UNKNOWN: entry('no such device is paired here', { exitCode: 2 }),
  DISK_FAILED: entry('the disk refused a read, a write or a sync', { retryable: true }),
  DUMP_FAILED: entry('the last dump of a sealed folder failed, so there is no version of it', {
    retryable: true,
  }),
  DUMP_SHRUNK: entry(
    'a version of a sealed folder is much smaller than its predecessors; nothing expires until release',
  ),
  FILESYSTEM_UNSUITABLE: entry('the file system lacks hard links, directory sync, locks or long names', {
    exitCode: 2,
  }),
  FILE_UNKNOWN: entry('files are in a copy that this program did not put there; they are left alone'),
  FOLDER_PAUSED: entry('the folder is paused', { retryable: true }),
  FOLDER_UNKNOWN: entry('no such folder exists here', { exitCode: 2, crossesWire: true }),
  FREEZE_UNKNOWN: entry(
    'whether an agent was frozen cannot be read, so it is; nothing expires until release',
  ),
  HOME_INVALID: entry('the home directory is missing, not initialised or already initialised', {
    exitCode: 2,
  }),
  IDENTITY_DAMAGED: entry('the device key or certificate in the home cannot be read'),
  INTERNAL: entry('a defect of the program', { crossesWire: true }),
  INVITATION_INVALID: entry('the text is not an invitation, or was cut off', { exitCode: 2 }),
  INVITATION_REFUSED: entry('the invitation is used, expired or unknown to the other device'),
  JOURNAL_DAMAGED: entry('a journal has a damaged entry before its end'),
  KEY_EXPIRING: entry('a recipient of sealed folders expires within 30 days'),
  KEY_INVALID: entry('the text or file is not an OpenPGP key that can be used here', { exitCode: 2 }),
  KEY_UNUSABLE: entry('an OpenPGP key is expired, revoked or cannot encrypt', { exitCode: 2 }),
  KEY_WRONG: entry('the private key or passphrase does not open what was sealed'),
  LINK_CLOSED: entry('the connection ended', { retryable: true }),
  LINK_NO_CERTIFICATE: entry('the other side showed no certificate', { retryable: true }),
  LINK_OVERLOADED: entry('too many unauthenticated connections; the oldest was ended', { retryable: true }),
  LINK_TIMEOUT: entry('the other side made no progress in time', { retryable: true }),
  LINK_TLS_FAILED: entry('the TLS handshake failed', { retryable: true }),
  LINK_UNPAIRED: entry('the device at the other end is not paired here', { retryable: true }),
  LINK_UNREACHABLE: entry('no address of the device answered', { retryable: true }),
  LINK_WRONG_DEVICE: entry('another device than the expected one answered', { retryable: true }),
  LISTEN_FAILED: entry('the configured address cannot be listened on', { retryable: true }),
  MANIFEST_INVALID: entry('a manifest or root message does not make sense'),
  MASS_CHANGE: entry('much of a folder was deleted or rewritten within a day; nothing expires until release'),
  NODE_TOO_OLD: entry('this Node.js is older than mastokeep needs', { exitCode: 2 }),
  NOT_RUNNING: entry('the command needs the running program on this home'),
  PACKS_SURGED: entry('far more of a sealed folder came than usual; nothing expires until release'),
  PACK_CORRUPT: entry('a sealed object is damaged or not what it claims to be', { crossesWire: true }),
  PATH_INVALID: entry('a path is absolute, climbs, or is too long', { exitCode: 2, crossesWire: true }),
  PEERS_DAMAGED: entry('the file of paired devices cannot be read'),
  PG_DUMP_TOO_OLD: entry('pg_dump is older than the PostgreSQL server that it shall dump'),
  PINS_LIMITED: entry('the receiver grants the agent no more pins; the restore point is held without one', {
    exitCode: 3,
    crossesWire: true,
  }),
  POINTS_LIMITED: entry('more restore points were announced than the receiver takes of an agent', {
    retryable: true,
    crossesWire: true,
  }),
  POINT_PINNED: entry('the restore point is pinned, and pinned ones are not forgotten'),
  POINT_TOO_LATE: entry('a restore point needs what was let go before the point came', { crossesWire: true }),
  POINT_UNKNOWN: entry('no such restore point is held here', { exitCode: 2, crossesWire: true }),
  PROTOCOL_VIOLATION: entry('the other side sent what the protocol does not allow', { crossesWire: true }),
  QUOTA_REACHED: entry('the agent has reached its quota on this receiver', {
    retryable: true,
    crossesWire: true,
  }),
  RECIPIENTS_CHANGED: entry(
    'the versions of a sealed folder are sealed to other keys than before; nothing expires until release',
  ),
  RECORD_FORGED: entry(
    'a signed record (a version, a restore point) is not signed by the agent that it names, or belongs elsewhere',
    {
      crossesWire: true,
    },
  ),
  RECORD_INVALID: entry('a signed record (a version, a restore point) does not follow its format', {
    crossesWire: true,
  }),
  RESTORE_CONFLICT: entry('the target holds a different file and may not be overwritten', { exitCode: 3 }),
  RESTORE_INCOMPLETE: entry('some files could not be restored', { exitCode: 3 }),
  RESTORE_NOTHING_FOUND: entry('the receiver holds nothing that matches what is to be restored'),
  ROLE_REFUSED: entry('the device may not do this with its role', { crossesWire: true }),
  SCRUB_LATE: entry('not everything that is stored was read again in time', { retryable: true }),
  SOURCE_FAILED: entry('the source of a sealed folder failed, so no version was made', { retryable: true }),
  SOURCE_STOPPED: entry('the folder stopped because its source looks vanished', { exitCode: 1 }),
  SOURCE_UNREADABLE: entry('a source file or directory cannot be read', { retryable: true }),
  SPOOL_FULL: entry('the spool is full of what no receiver holds yet, so no version was made', {
    retryable: true,
  }),
  STORE_FULL: entry('the disk has reached the free-space floor', { retryable: true, crossesWire: true }),
  SUCCEEDED: entry('another device goes on with the data of this one on the receiver', { crossesWire: true }),
  SUCCESSION_REFUSED: entry('one device cannot go on with the data of another as things are'),
  TARGET_FULL: entry('the disk of the target has too little room for what is restored'),
  TARGET_UNUSABLE: entry('the directory or database to restore into cannot be made or written to'),
  TIMED_OUT: entry('what was waited for did not happen in time', { retryable: true, exitCode: 4 }),
  USAGE: entry('the command line does not make sense', { exitCode: 2 }),
} as const satisfies Record<string, ErrorTraits>;

export type ErrorCode = keyof typeof errorTable;
