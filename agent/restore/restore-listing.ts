import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Browse } from '../../shared/protocol/browse.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { PathFilter } from './path-filter.ts';
import type { BrowsePage } from './receiver-session.ts';
import type { RestoreLink } from './restore-link.ts';
import type { RestoreEntry } from './restore-plan.ts';

/** A listing that goes on for longer than any real folder is no listing; about 10 GB of memory. */
export const entriesMax = 30_000_000;

export type FolderListing = {
  folders: { id: string; kind: 'mirror' | 'sealed'; files: number; bytes: number }[];
  available: string[];
  at: number;
};

/**
 * The folders that are to be restored, and the moment whose state all later pages show.
 * @throws CodedError FOLDER_UNKNOWN
 */
export async function browseFolders(
  link: RestoreLink,
  query: { folders: readonly string[]; at: number | null },
): Promise<FolderListing> {
  const { folders, at } = await link.run((session) =>
    session.browse({ folder: null, at: query.at, after: null }),
  );
  const all = folders ?? [];
  const available = all.map(({ id }) => id);
  for (const id of query.folders) {
    const folder = all.find((candidate) => candidate.id === id);
    if (folder === undefined) {
      throw new CodedError('FOLDER_UNKNOWN', `the receiver holds no folder "${id}" of this agent`, {
        hint: `it holds: ${available.join(', ') || 'none'}`,
      });
    }
  }
  const wanted = new Set(query.folders.length === 0 ? available : query.folders);
  return { folders: all.filter(({ id }) => wanted.has(id)), available, at };
}

/** What is listed of a folder: its state at a moment, or (`between`) what an interval of its index contains. */
export type ListedState = { at: number; between?: NonNullable<Browse['between']> };

/** Everything of the folder in that state that the filter wants, and all its directories, sorted by path. */
export async function browseFolder(
  link: RestoreLink,
  folder: string,
  state: ListedState,
  filter: PathFilter,
): Promise<RestoreEntry[]> {
  const entries: RestoreEntry[] = [];
  let after: RelativePath | null = null;
  let seen = 0;
  do {
    const from: RelativePath | null = after;
    const page: BrowsePage = await link.run((session) => session.browse({ folder, ...state, after: from }));
    link.noteProgress();
    seen += page.entries.length;
    if (seen > entriesMax) {
      throw new CodedError(
        'PROTOCOL_VIOLATION',
        `the receiver lists more than ${entriesMax} entries of one folder`,
      );
    }
    for (const { path, state } of page.entries) {
      if (state.kind === 'directory' || filter(path, false)) entries.push({ path, state });
    }
    after = page.next;
  } while (after !== null);
  return entries;
}
