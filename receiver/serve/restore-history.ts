import type { DirectoryState, FileState, SymlinkState } from '../../shared/records/file-record.ts';
import type { BrowseLacking } from '../../shared/protocol/browse-lacking.ts';
import type { HeldPoints } from '../../shared/protocol/held-points.ts';
import type { LackingPaths } from '../../shared/protocol/lacking-paths.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { ContentSource } from '../../shared/transfer/content-source.ts';
import { HeldContentSource, type PlacedCopy } from './held-content.ts';

/** What a restore reads of one folder; nothing is changed by it. */
export type RestoreFolder = {
  readonly id: string;
  readonly kind: 'mirror' | 'sealed';
  /** `files`: of a sealed folder its versions. */
  usage(): { files: number; bytes: number };
  /** When its state changed last, ms. */
  changedAt(): number;
  /** Sorted by path, at most `limit`, without what was deleted then; `next` is the last path when there may be more. */
  entriesAt(query: { at: number | null; after: RelativePath | null; limit: number }): {
    entries: readonly { path: RelativePath; state: FileState | SymlinkState | DirectoryState }[];
    next: RelativePath | null;
  };
  /** The same for what was alive at a sequence of the agent's index or came up to another; null of a sealed folder. */
  readonly contentBetween:
    | ((
        interval: { indexId: Buffer; from: number; to: number },
        after: RelativePath | null,
        limit: number,
      ) => ReturnType<RestoreFolder['entriesAt']>)
    | null;
};

/** The restore points of one agent. */
export type RestorePoints = {
  /** At most `limit` of those whose names sort later than `after`, with what can be proved of each now. */
  page(after: string | null, limit: number): Promise<Omit<HeldPoints, 'requestId'>>;
  /**
   * A page of the files that a point lacks of a mirror folder now; nothing of a sealed one.
   * @throws CodedError POINT_UNKNOWN, FOLDER_UNKNOWN: it is none of that agent, or has no such folder
   */
  lacking(query: Omit<BrowseLacking, 'requestId'>): Promise<Omit<LackingPaths, 'requestId'>>;
};

/** All that one receiver holds of one agent. */
export type RestoreHistory = {
  folders: readonly RestoreFolder[];
  content: ContentSource;
  points: RestorePoints;
};

export type HistoryStore = Omit<RestoreFolder, 'id'> & {
  /** Where content is found by its hash, each to be opened. */
  copies(hash: Buffer): readonly PlacedCopy['open'][];
};

/** The history in an agent's stores, by folder id. The stores must stay open while it is used. */
export function historyOfStores(
  stores: ReadonlyMap<string, HistoryStore>,
  points: RestorePoints,
): RestoreHistory {
  const folders = [...stores].map(([id, store]) => ({
    id,
    kind: store.kind,
    usage: () => store.usage(),
    changedAt: () => store.changedAt(),
    entriesAt: (query: Parameters<RestoreFolder['entriesAt']>[0]) => store.entriesAt(query),
    contentBetween: store.contentBetween?.bind(store) ?? null,
  }));
  const copies = (hash: Buffer): PlacedCopy[] =>
    [...stores.values()].flatMap((store) =>
      store.copies(hash).map((open) => ({ open, isSealed: store.kind === 'sealed' })),
    );
  return { folders, content: new HeldContentSource({ copies }), points };
}
