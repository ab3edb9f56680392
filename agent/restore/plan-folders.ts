import path from 'node:path';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { lackingPaths } from '../../shared/cli/lacking-listing.ts';
import { rootPath } from '../../shared/records/relative-path.ts';
import type { UnsealerSource } from './command-unsealers.ts';
import { describePoint, findPoint, pointBefore } from './chosen-point.ts';
import { lackingPagesOf } from './lacking-pages.ts';
import { browsePoints, type OfferedPart, type OfferedPoint } from './offered-points.ts';
import { describeSealedFolder, openSealedFolder, type OpenedSealedFolder } from './open-sealed-folder.ts';
import { concernsFolderOnly, failedFolder } from './passed-over.ts';
import type { PathFilter } from './path-filter.ts';
import { browseFolder, browseFolders, type FolderListing } from './restore-listing.ts';
import type { RestoreLink } from './restore-link.ts';
import { planFolder, type FolderPlan } from './restore-plan.ts';
import type { RestoreResult, RunRestoreOptions } from './run-restore.ts';

type FolderResult = RestoreResult['folders'][number];

export type TargetedPlan = { plan: FolderPlan; target: string; sealed: OpenedSealedFolder | null };

/** `untouched`: folders of which nothing is written: only told about, locked, or not there. */
export type PlannedFolders = {
  listing: FolderListing;
  point: OfferedPoint | null;
  plans: TargetedPlan[];
  untouched: FolderResult[];
};

type Deps = {
  link: RestoreLink;
  note: (line: string) => void;
  unsealers: UnsealerSource | null;
  configuredPath: (folder: string) => string | null;
};
type Options = Pick<RunRestoreOptions, 'to' | 'folders' | 'at' | 'point' | 'dryRun' | 'inPlace' | 'agentId'>;

/**
 * What is to be made of each folder. With a point, all folders are as of that point; what is lacking of it is in the
 * plans' failures.
 * @throws CodedError USAGE, FOLDER_UNKNOWN, POINT_UNKNOWN, RECORD_FORGED, those of openSealedFolder
 */
export async function planFolders(deps: Deps, options: Options, filter: PathFilter): Promise<PlannedFolders> {
  const { listing, point } = await chooseState(deps, options);
  const plans: TargetedPlan[] = [];
  const untouched: FolderResult[] = [];
  for (const { id, kind } of listing.folders) {
    const part = point?.parts.find((candidate) => candidate.part.id === id) ?? null;
    const target = targetOf(deps, options, id);
    if (kind === 'mirror') {
      const entries = await browseFolder(deps.link, id, { at: listing.at, ...intervalOf(part) }, filter);
      const plan = planFolder(id, entries, filter);
      if (point !== null && part !== null)
        plan.failures = plan.failures.concat(await lackingOf(deps.link, point, part, filter));
      plans.push({ target, plan, sealed: null });
      continue;
    }
    const query = { folder: id, at: listing.at, filter, agentId: options.agentId, version: versionOf(part) };
    try {
      if (deps.unsealers === null) {
        untouched.push({ ...emptyResult(id, target), ...(await describeSealedFolder(deps, query)) });
        continue;
      }
      const sealed = await openSealedFolder({ ...deps, unsealers: deps.unsealers }, query);
      plans.push({ target, plan: sealed.plan, sealed });
    } catch (error) {
      if (options.folders.length > 0 || !concernsFolderOnly(error)) throw error;
      untouched.push(failedFolder(id, target, error));
    }
  }
  if (point !== null) untouched.push(...absentFolders(point, listing, options, deps));
  return { listing, point, plans, untouched };
}

/** The folders, and the moment or the point whose state is restored of them. */
async function chooseState(
  { link, note }: Deps,
  { at, point: name, folders, agentId }: Options,
): Promise<{ listing: FolderListing; point: OfferedPoint | null }> {
  if (name !== null) {
    const point = findPoint((await browsePoints(link, agentId)).points, name);
    note(describePoint(point));
    return { listing: await listPoint(link, point, folders), point };
  }
  const listing = await browseFolders(link, { folders, at });
  if (at === null || !needsPoint(listing)) return { listing, point: null };
  const { points } = await browsePoints(link, agentId);
  const point = pointBefore(points, at);
  if (point === null) {
    note('no complete restore point of that time is held: each folder is restored as it was then by itself');
    return { listing, point };
  }
  note(
    `${describePoint(point)}: the newest complete one of that time; name one --folder for the exact moment`,
  );
  return { listing: await listPoint(link, point, folders), point };
}

/** Folders that belong together are taken from one point, as files and rows must fit. */
function needsPoint({ folders }: FolderListing): boolean {
  return folders.length > 1 && folders.some(({ kind }) => kind === 'sealed');
}

/** What is held now of the point's folders. @throws CodedError FOLDER_UNKNOWN: the point has no such folder */
async function listPoint(
  link: RestoreLink,
  point: OfferedPoint,
  wanted: readonly string[],
): Promise<FolderListing> {
  const ids = new Set(point.record.folders.map(({ id }) => id));
  for (const id of wanted) {
    if (ids.has(id)) continue;
    throw new CodedError('FOLDER_UNKNOWN', `restore point ${point.id} has no folder "${id}"`, {
      hint: `it has: ${[...ids].join(', ')}`,
    });
  }
  const listing = await browseFolders(link, { folders: wanted, at: null });
  return {
    ...listing,
    folders: listing.folders.filter(({ id, kind }) =>
      point.record.folders.some((part) => part.id === id && part.kind === kind),
    ),
  };
}

function intervalOf(part: OfferedPart | null): { between?: { indexId: Buffer; from: number; to: number } } {
  if (part?.part.kind !== 'mirror') return {};
  const { index, from, to } = part.part;
  return { between: { indexId: Buffer.from(index, 'hex'), from, to } };
}

function versionOf(part: OfferedPart | null): { epoch: string; number: number; record: string } | null {
  return part?.part.kind === 'sealed' ? part.part : null;
}

/**
 * Files of which the receiver knows that the point had them, or another content of them, and that never came; the root
 * where it cannot prove the one or the other.
 */
async function lackingOf(
  link: RestoreLink,
  point: OfferedPoint,
  { part, state, files, lacking }: OfferedPart,
  filter: PathFilter,
): Promise<FolderPlan['failures']> {
  if (state === 'unknown') {
    const message = `whether this is all that the restore point has of it is not proved: it may not all have come yet, or lines of the receiver's journal were lost; what was there at a time: --folder ${part.id} --at TIME`;
    return [{ path: rootPath, code: 'RESTORE_INCOMPLETE', message }];
  }
  if (state === 'complete') return [];
  const message = 'the receiver never got it as it was then, or its copy is damaged';
  const failures: FolderPlan['failures'] = [];
  const pages = files <= lacking.length ? [lacking] : lackingPaths(part.id, lackingPagesOf(link, point));
  for await (const paths of pages)
    for (const path of paths) if (filter(path, false)) failures.push({ path, code: 'CONTENT_GONE', message });
  return failures;
}

/** Parts of the point of which nothing is held at all. */
function absentFolders(
  { id: pointId, record }: OfferedPoint,
  listing: FolderListing,
  options: Options,
  deps: Deps,
): FolderResult[] {
  const absent = record.folders.filter((part) => !listing.folders.some(({ id }) => id === part.id));
  return absent
    .filter(({ id }) => options.folders.length === 0 || options.folders.includes(id))
    .map(({ id }) => {
      const error = new CodedError(
        'CONTENT_GONE',
        `nothing is held of folder ${id} of restore point ${pointId}`,
      );
      return failedFolder(id, targetOf(deps, options, id), error);
    });
}

function emptyResult(id: string, target: string): FolderResult {
  return { id, target, files: 0, bytes: 0, skipped: 0, failed: [] };
}

function targetOf({ configuredPath }: Deps, options: Options, folder: string): string {
  if (options.to !== null) return path.resolve(options.to, folder);
  const target = options.inPlace ? configuredPath(folder) : options.dryRun ? folder : null;
  if (target === null) {
    throw new CodedError('USAGE', `where should folder ${folder} be restored to?`, {
      hint: options.inPlace ? 'this home has no such folder: add --to DIR' : 'add --to DIR',
    });
  }
  return path.resolve(target);
}
