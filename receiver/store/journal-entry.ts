import type { DirectoryState, FileState, SymlinkState } from '../../shared/records/file-record.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { Moment } from './moment.ts';

/** What can be alive at a path. */
export type LiveState = FileState | SymlinkState | DirectoryState;

/**
 * One state of one path: as announced (`indexId`, `sequence`, `replaces`), when its content arrived (ms, the receiver's
 * clock), and since when the path has this content (`begun`: the record that brought it; 0 in a sealed folder).
 */
export type Holding = {
  state: LiveState;
  indexId: Buffer;
  sequence: number;
  replaces: number | null;
  receivedAt: number;
  begun: Moment;
};

/**
 * A holding that was replaced or deleted. `name`: its file below `versions/`, a byte string; null where it has no bytes.
 * `ended`: the record that replaced or deleted it.
 */
export type Replaced = { id: number; name: string | null; holding: Holding; ended: Moment };

/** `temp`: the file in `incoming/` that becomes the content; null where the content stays as it is. */
export type SetEntry = {
  type: 'set';
  path: RelativePath;
  holding: Holding;
  namedIn: Buffer;
  temp: string | null;
  replaced: Replaced | null;
};
export type RemoveEntry = { type: 'remove'; path: RelativePath; replaced: Replaced };
/** Announced in that index and gone before its content was sent: what is held stays. */
type MissingEntry = { type: 'missing'; path: RelativePath; namedIn: Buffer };
type VersionEntry = { type: 'version'; path: RelativePath; replaced: Replaced; replacedAt: number };
export type ExpireEntry = { type: 'expire'; path: RelativePath; id: number; name: string | null };
/**
 * From `begun` on, and before `ended` (null: still), the path may have had contents that never came. Replaces the gap of
 * the same path and `begun`; an empty one (`begun` = `ended`) takes it away.
 */
export type GapEntry = { type: 'gap'; path: RelativePath; begun: Moment; ended: Moment | null };
/** What is wrong with a stored file: it is not there, has another size, other bytes, or the disk refuses to read it. */
export const damageKinds = ['missing', 'size', 'content', 'unreadable'] as const;
export type DamageKind = (typeof damageKinds)[number];
/**
 * A stored file was found damaged: the live one of the path (`id` and `name` null), or that version's. `aside`: the file
 * below `damaged/` that has the damaged bytes; null where there are none. `found` null: it is whole again, by the file
 * `temp` of `incoming/` or (null) as it is, and `aside` goes.
 */
export type DamageEntry = {
  type: 'damage';
  path: RelativePath;
  id: number | null;
  name: string | null;
  found: DamageKind | null;
  foundAt: number;
  aside: string | null;
  temp: string | null;
};
/** Versions or gaps that ended until then were let go: what an interval needs that begins before may be gone. */
export type ForgottenEntry = { type: 'forgotten'; until: Moment };
/** An index that the store has met (in snapshots). */
export type IndexEntry = { type: 'index' } & MetIndex;

/**
 * An index and what can be proved of it. `reached`: the last durable sequence. `settled`: the last sequence at which
 * the agent had nothing later; what was alive up to there is known, as far as no gap says otherwise. `complete`: it has
 * named every live path. `provenFrom`: what was alive before is not known for sure, because journal lines were lost;
 * null: nothing is yet.
 */
export type MetIndex = {
  number: number;
  indexId: Buffer;
  reached: number;
  settled: number | null;
  complete: boolean;
  provenFrom: number | null;
};

/** What a batch does to one path, or what it says of an index. */
export type ChangeEntry =
  | SetEntry
  | RemoveEntry
  | MissingEntry
  | VersionEntry
  | ExpireEntry
  | GapEntry
  | DamageEntry
  | ForgottenEntry
  | IndexEntry;

/**
 * Opens a batch. `at`: the batch's time (ms), strictly later than that of any earlier one. `position`: where the feed
 * stands after it; null leaves it. `indexNumber`: of the index of `position` (0: none, or a sealed folder). `completes`: that
 * index has named every live path. `settles`: the agent had nothing later. `forgets`: the position is dropped, and what
 * was alive until then can no longer be proved. `doubtful`: lines were lost, and no index was complete since.
 */
export type BeginEntry = {
  type: 'begin';
  batch: number;
  at: number;
  nextVersionId: number;
  position: FeedPosition | null;
  indexNumber: number;
  completes: boolean;
  settles: boolean;
  forgets: boolean;
  doubtful: boolean;
};
/** The batch's changes are whole: `entries` of them. From here on a crash completes it. */
type IntentEntry = { type: 'intent'; batch: number; entries: number };
/** The batch is done. `undone`: paths whose new content was lost by the disk, so that they stayed; the position did not move then. */
export type CommitEntry = { type: 'commit'; batch: number; undone: RelativePath[] };
export const journalFormats = ['mastokeep-mirror-journal', 'mastokeep-sealed-journal'] as const;
/** Of which kind of folder a journal is. */
export type JournalFormat = (typeof journalFormats)[number];
export type HeaderEntry = {
  type: 'header';
  format: JournalFormat;
  formatVersion: 1;
  agent: string;
  folder: string;
  segment: number;
  /** True: the segment holds everything that lives, and all earlier ones are superseded. */
  snapshot: boolean;
};

export type JournalEntry = HeaderEntry | BeginEntry | ChangeEntry | IntentEntry | CommitEntry;

/** The bytes of its content; 0 where it has none. */
export function sizeOf({ state }: Holding): number {
  return state.kind === 'file' ? state.size : 0;
}

/** The hash of its content; empty where it has none. */
export function hashOf({ state }: Holding): Buffer {
  return state.kind === 'file' ? state.hash : Buffer.alloc(0);
}
