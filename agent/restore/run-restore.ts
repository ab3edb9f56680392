import fs from 'node:fs';
import path from 'node:path';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { displayPath } from '../../shared/records/relative-path.ts';
import { startTimeStamper, type TimeStamper } from './exact-times.ts';
import { estimateGrowth } from './estimate-growth.ts';
import { type FolderResult, restoreFolder } from './folder-restore.ts';
import { formatMoment } from './moment.ts';
import { concernsFolderOnly, failedFolder } from './passed-over.ts';
import { createPathFilter } from './path-filter.ts';
import type { OfferedPoint } from './offered-points.ts';
import type { ChosenVersion, ToldVersion } from './open-sealed-folder.ts';
import { planFolders, type TargetedPlan } from './plan-folders.ts';
import type { UnsealerSource } from './command-unsealers.ts';
import { restoreSealed } from './sealed-restore.ts';
import type { FolderListing } from './restore-listing.ts';
import { RestoreLink } from './restore-link.ts';
import { syncFileSystem } from './sync-file-system.ts';
import type { FolderPlan } from './restore-plan.ts';
import { emptyProgress, type ProgressDisplay, type RestoreProgress } from './restore-progress.ts';

export type RunRestoreDeps = {
  /** The next link to the receiver, whoever dials; waits for it. Rejects when the signal aborts. */
  nextChannel(signal: AbortSignal): Promise<Channel>;
  display: ProgressDisplay;
  /** Open sealed folders, and are closed at the end; null, for `dryRun` only: they are told about as far as that takes no key. */
  unsealers: UnsealerSource | null;
  /** Where `--in-place` puts a folder without `to`; null when none is configured. */
  configuredPath(folder: string): string | null;
};

export type RunRestoreOptions = {
  /** Folders get `to/<folder>/`; null puts each at its configured path, which needs `inPlace`. */
  to: string | null;
  /** None means all. */
  folders: readonly string[];
  /** Patterns with the syntax of gitignore; none means everything. */
  paths: readonly string[];
  /** ms, or null for the latest state. */
  at: number | null;
  /** The name of a restore point, or its beginning, in place of `at`. */
  point: string | null;
  dryRun: boolean;
  inPlace: boolean;
  keepOwners: boolean;
  /** Who must have signed the versions of sealed folders; null: it is only told who did. */
  agentId: DeviceId | null;
  programVersion: string;
  patienceMs: number;
  answerTimeoutMs: number;
};

type RestoreListing = { path: string; kind: 'file' | 'symlink' | 'directory'; bytes: number }[];

/** What `restore --json` prints. */
export type RestoreResult = {
  folders: {
    id: string;
    target: string;
    files: number;
    bytes: number;
    skipped: number;
    failed: { path: string; code: string; message: string }[];
    /** Of a sealed folder. */
    version?: ChosenVersion;
    /** With `--dry-run` and no key: the versions that are held, newest first. `files` and `bytes` are not known then. */
    versions?: ToldVersion[];
    /** With `--dry-run` only: what would be restored. */
    entries?: RestoreListing;
  }[];
  /** ISO 8601: the moment whose state was restored, by the receiver's clock; of a point when it was begun, by the agent's. */
  at: string;
  /** The restore point that it was, if it was one. `receivedAt`: ISO 8601, by the receiver's clock. */
  point: { id: string; receivedAt: string; complete: boolean; incompleteFiles: number | null } | null;
  agent: DeviceId | null;
  dryRun: boolean;
  durationMs: number;
};

/**
 * Restores folders of one agent from a receiver. What is in its place already stays; a run that was interrupted
 * anywhere is continued by the same call.
 * @returns the result; `failed` entries mean exit code 3
 * @throws CodedError USAGE, FOLDER_UNKNOWN, RESTORE_NOTHING_FOUND, TARGET_FULL, LINK_TIMEOUT, PROTOCOL_VIOLATION, ROLE_REFUSED, DISK_FAILED
 */
export async function runRestore(deps: RunRestoreDeps, options: RunRestoreOptions): Promise<RestoreResult> {
  const startedAt = performance.now();
  const progress = emptyProgress();
  let agent: DeviceId | null = null;
  const link = new RestoreLink(
    {
      nextChannel: async (signal) => {
        const channel = await deps.nextChannel(signal);
        if (channel.grant.role === 'restore') agent = channel.grant.agentId;
        return channel;
      },
      onState: ({ linked, reason }) => {
        if (!linked)
          deps.display.note(
            `the link was lost (${reason?.message ?? 'unknown'}), waiting for it to come back`,
          );
      },
    },
    options,
  );
  try {
    const { listing, point, plans, untouched } = await planFolders(
      { ...deps, link, note: (line) => deps.display.note(line) },
      options,
      createPathFilter(options.paths),
    );
    if (untouched.every(heldNothing) && plans.every(({ plan }) => isEmpty(plan))) {
      throw await nothingFound(link, listing, plans);
    }
    const restored = options.dryRun
      ? plans.map(listPlan)
      : await restoreFolders({ link, display: deps.display, progress }, plans, options);
    return {
      folders: [...restored, ...untouched],
      at: point?.record.createdAt ?? new Date(listing.at).toISOString(),
      point: point === null ? null : describeChosen(point),
      agent,
      dryRun: options.dryRun,
      durationMs: Math.round(performance.now() - startedAt),
    };
  } finally {
    link.close();
    await deps.unsealers?.close();
    deps.display.stop(progress);
  }
}

/** Carries out the plans one after the other, once there is room for all of them. */
async function restoreFolders(
  { link, display, progress }: { link: RestoreLink; display: ProgressDisplay; progress: RestoreProgress },
  plans: readonly TargetedPlan[],
  options: RunRestoreOptions,
): Promise<RestoreResult['folders']> {
  await checkSpace(plans);
  progress.filesTotal = sum(plans, ({ plan }) => plan.files.length + plan.symlinks.length);
  progress.bytesTotal = sum(plans, ({ plan }) => plan.bytes);
  const run = { link, progress, onProgress: () => display.update(progress) };
  const count: CountSealed = ({ files = 0, fetched = 0, kept = 0 }) => {
    progress.files += files;
    progress.bytes += fetched + kept;
    progress.bytesReceived += fetched;
    display.update(progress);
  };
  const results: RestoreResult['folders'] = [];
  for (const targeted of plans) {
    const { plan, target, sealed } = targeted;
    try {
      const result = await restoreInto(run, count, targeted, options);
      if (result.ownersRefused > 0) {
        display.note(`${result.ownersRefused} owners of folder ${result.id} could not be set: only root may`);
      }
      results.push({ ...showResult(result, target), ...versionOf(targeted) });
    } catch (error) {
      if (sealed === null || options.folders.length > 0 || !concernsFolderOnly(error)) throw error;
      results.push({ ...failedFolder(plan.folder, target, error), ...versionOf(targeted) });
    }
  }
  return results;
}

type CountSealed = Parameters<typeof restoreSealed>[0]['onProgress'];

function describeChosen({
  id,
  receivedAt,
  complete,
  incompleteFiles,
}: OfferedPoint): NonNullable<RestoreResult['point']> {
  return { id, receivedAt: new Date(receivedAt).toISOString(), complete, incompleteFiles };
}

function versionOf({ sealed }: TargetedPlan): { version?: ChosenVersion } {
  return sealed === null ? {} : { version: sealed.version };
}

/** A sealed folder of which there was no version then. */
function heldNothing({ failed }: RestoreResult['folders'][number]): boolean {
  return failed.some(({ code }) => code === 'RESTORE_NOTHING_FOUND');
}

/** Tells a moment at which nothing was held at all from paths that match nothing. */
async function nothingFound(
  link: RestoreLink,
  { at, folders, available }: FolderListing,
  plans: readonly TargetedPlan[],
): Promise<CodedError> {
  const state = `the state of ${formatMoment(at)}`;
  const there = `folders there: ${available.join(', ') || 'none'}`;
  for (const { id, kind } of folders) {
    // of a sealed folder the key is listed at any time; it has a plan where a version was held
    if (kind === 'sealed' && !plans.some(({ plan }) => plan.folder === id)) continue;
    const { entries } = await link.run((session) => session.browse({ folder: id, at, after: null }));
    if (entries.length > 0) {
      return new CodedError('RESTORE_NOTHING_FOUND', `nothing matches in ${state}`, { hint: there });
    }
  }
  return new CodedError('RESTORE_NOTHING_FOUND', `nothing was held in ${state}`, {
    hint: `${there}; take a later moment: what is held begins with the first copy`,
  });
}

async function restoreInto(
  run: Omit<Parameters<typeof restoreFolder>[0], 'stamper'>,
  count: CountSealed,
  { plan, target, sealed }: TargetedPlan,
  options: RunRestoreOptions,
): Promise<FolderResult> {
  const targetMade = makeTarget(target);
  const root = fs.realpathSync(target);
  const stamper: TimeStamper = await startTimeStamper(root);
  try {
    const { inPlace, keepOwners } = options;
    const folder = { target: root, targetMade, inPlace, keepOwners };
    const result =
      sealed === null
        ? await restoreFolder({ ...run, stamper }, plan, folder)
        : await restoreSealed({ content: sealed.content, stamper, onProgress: count }, sealed, folder);
    await syncFileSystem(root);
    return result;
  } finally {
    stamper.stop();
  }
}

/** True when it was made. @throws CodedError TARGET_UNUSABLE */
function makeTarget(target: string): boolean {
  try {
    const made = fs.mkdirSync(target, { recursive: true }) !== undefined;
    fs.accessSync(target, fs.constants.W_OK | fs.constants.X_OK);
    return made;
  } catch (cause) {
    throw new CodedError('TARGET_UNUSABLE', `${target} cannot be written to (${systemErrorCode(cause)})`, {
      hint: 'restore into another directory with --to, or as root',
      cause,
    });
  }
}

/** Before anything is fetched. @throws CodedError TARGET_FULL */
async function checkSpace(plans: readonly TargetedPlan[]): Promise<void> {
  const disks = new Map<
    number,
    { at: string; free: number; freeFiles: number; bytes: number; files: number }
  >();
  for (const { plan, target } of plans) {
    const at = nearestExisting(target);
    const { dev } = fs.statSync(at);
    const { bavail, bsize, ffree, files } = fs.statfsSync(at);
    const disk = disks.get(dev) ?? {
      at,
      free: bavail * bsize,
      freeFiles: files > 0 ? ffree : Infinity,
      bytes: 0,
      files: 0,
    };
    disks.set(dev, disk);
    const growth = await estimateGrowth(plan, target);
    disk.bytes += growth.bytes;
    disk.files += growth.files;
  }
  for (const { at, free, freeFiles, bytes, files } of disks.values()) {
    if (bytes > free) {
      throw new CodedError(
        'TARGET_FULL',
        `${formatByteSize(bytes)} are to be restored, and the disk of ${at} has ${formatByteSize(free)} free`,
        {
          hint: 'make room, restore elsewhere (--to, or --scratch with --pg-restore), or only a part (--folder, --path)',
        },
      );
    }
    if (files > freeFiles) {
      throw new CodedError(
        'TARGET_FULL',
        `${files} files are to be restored, and the file system of ${at} has room for ${freeFiles} more`,
      );
    }
  }
}

function nearestExisting(target: string): string {
  let at = target;
  while (!fs.existsSync(at) && path.dirname(at) !== at) at = path.dirname(at);
  return at;
}

function isEmpty({ files, symlinks, directories, failures }: FolderPlan): boolean {
  return (
    files.length + symlinks.length + failures.length === 0 &&
    !directories.some(({ path, selected }) => selected && path !== '')
  );
}

function listPlan({ plan, target, ...rest }: TargetedPlan): RestoreResult['folders'][number] {
  const entries: RestoreListing = [
    ...plan.files.map(({ path, state }) => ({
      path: displayPath(path),
      kind: 'file' as const,
      bytes: state.size,
    })),
    ...plan.symlinks.map(({ path }) => ({ path: displayPath(path), kind: 'symlink' as const, bytes: 0 })),
    ...plan.directories
      .filter(({ selected, path }) => selected && path !== '')
      .map(({ path }) => ({ path: displayPath(path), kind: 'directory' as const, bytes: 0 })),
  ];
  entries.sort((a, b) => (a.path < b.path ? -1 : 1));
  return {
    id: plan.folder,
    target,
    files: plan.files.length + plan.symlinks.length,
    bytes: plan.bytes,
    skipped: 0,
    failed: plan.failures.map((failure) => ({ ...failure, path: displayPath(failure.path) })),
    ...versionOf({ plan, target, ...rest }),
    entries,
  };
}

function showResult(
  { id, files, bytes, skipped, failed }: FolderResult,
  target: string,
): RestoreResult['folders'][number] {
  return {
    id,
    target,
    files,
    bytes,
    skipped,
    failed: failed.map((failure) => ({ ...failure, path: displayPath(failure.path) })),
  };
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
