import { CodedError } from '../errors/coded-error.ts';
import { displayPath, type RelativePath } from '../records/relative-path.ts';
import type { PointListing } from './point-listing.ts';

/** Gives, of what a point lacks of a mirror folder, a page of the paths that sort later than `after`, in byte order. */
export type LackingPages = (
  folder: string,
  after: RelativePath | null,
) => Promise<{ paths: readonly RelativePath[]; next: RelativePath | null }>;

/** A file that is lacking, its path for people; or of a sealed folder the version that is not whole. */
type LackingItem = { folder: string; path: string } | { folder: string; version: number };

/** What the point lacks, page by page, as it is known when a page is read. Of folders that are not proved nothing. */
export async function* lackingItems(
  { folders }: Pick<PointListing, 'folders'>,
  pages: LackingPages,
): AsyncGenerator<LackingItem[]> {
  for (const part of folders) {
    if (part.state !== 'incomplete') continue;
    const folder = part.id;
    if ('version' in part) {
      yield [{ folder, version: part.version }];
      continue;
    }
    for await (const paths of lackingPaths(folder, pages))
      yield paths.map((path) => ({ folder, path: displayPath(path) }));
  }
}

/** All pages of a mirror folder. */
export async function* lackingPaths(
  folder: string,
  pages: LackingPages,
): AsyncGenerator<readonly RelativePath[]> {
  let after: RelativePath | null = null;
  do {
    const page: Awaited<ReturnType<LackingPages>> = await pages(folder, after);
    yield page.paths;
    after = page.next;
  } while (after !== null);
}

/**
 * Prints every file that the point lacks while it is read, a line each, or as one JSON document. Exit code 3 where a folder
 * is not proved, so that there may be more.
 */
export async function printLacking(point: PointListing, pages: LackingPages, json: boolean): Promise<void> {
  for await (const text of json ? lackingDocument(point, pages) : lackingLines(point, pages))
    process.stdout.write(text);
  const { id, complete } = point;
  if (complete) process.stderr.write(`restore point ${id} is complete: it lacks nothing\n`);
  const unproved = unprovedFolders(point);
  if (unproved.length === 0) return;
  process.stderr.write(`not proved yet, so that more may be lacking: ${unproved.join(', ')}\n`);
  process.exitCode = 3;
}

function unprovedFolders({ folders }: PointListing): string[] {
  return folders.flatMap(({ id, state }) => (state === 'unknown' ? [id] : []));
}

/** For people, and for programs that read lines: `folder/path`, or of a sealed folder `folder#version`. */
export async function* lackingLines(point: PointListing, pages: LackingPages): AsyncGenerator<string> {
  for await (const items of lackingItems(point, pages))
    yield items
      .map((item) => ('path' in item ? `${item.folder}/${item.path}\n` : `${item.folder}#${item.version}\n`))
      .join('');
}

/** One JSON document, in pieces: it is never in memory as a whole. */
export async function* lackingDocument(point: PointListing, pages: LackingPages): AsyncGenerator<string> {
  const { id, agent, complete, incompleteFiles } = point;
  const head = { point: id, agent, complete, incompleteFiles, unproved: unprovedFolders(point) };
  yield `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "lacking": [`;
  let separator = '\n    ';
  for await (const items of lackingItems(point, pages)) {
    if (items.length === 0) continue;
    yield separator + items.map((item) => JSON.stringify(item)).join(',\n    ');
    separator = ',\n    ';
  }
  yield '\n  ]\n}\n';
}

/** Of `--lacking` without a point. */
export function namesNoPoint(): CodedError {
  return new CodedError('USAGE', 'what is lacking of which restore point? name it before --lacking', {
    hint: '"points" lists them',
  });
}
