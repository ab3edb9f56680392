import type { RelativePath } from '../../shared/records/relative-path.ts';

/**
 * One file, directory or symbolic link of a sealed folder. `content`: a file's bytes, to be read once and to its end
 * before the next entry is asked for, in pieces that are valid until the next one is; null for anything else.
 * `size`: what the content will probably measure, null where nobody knows before; only the bytes read count.
 * `mode`: permission bits (07777). `target`: a link's text.
 */
export type SourceEntry = {
  path: RelativePath;
  kind: 'file' | 'directory' | 'symlink';
  mode: number;
  uid: number;
  gid: number;
  mtimeNs: bigint;
  target: Buffer | null;
  size: number | null;
  content: AsyncIterable<Buffer> | null;
};

/** `rows`: PostgreSQL's own estimate, 0 where it has none. `bytes`: with indexes and TOAST. */
export type TableFacts = { name: string; bytes: number; rows: number };

/** Versions as their programs print them (`15.14`). `schemaMigration`: top of Rails' `schema_migrations`, null without one. */
export type PostgresFacts = {
  kind: 'postgres';
  serverVersion: string;
  dumpVersion: string;
  database: string;
  databaseBytes: number;
  schemaMigration: string | null;
  tables: TableFacts[];
};

type SkippedPath = { path: RelativePath; reason: string };

/**
 * `skippedFiles` counts all that could not be read; `skipped` names the first hundred of them. `specialFiles`: sockets,
 * pipes and devices, which are left out.
 */
export type PathsFacts = {
  kind: 'paths';
  files: number;
  directories: number;
  symlinks: number;
  bytes: number;
  specialFiles: number;
  skippedFiles: number;
  skipped: SkippedPath[];
};

/** `pipefail`: false where only a plain sh was found, so that a failure inside a pipe goes unseen. */
export type CommandFacts = { kind: 'command'; pipefail: boolean };

type SourceFacts = PostgresFacts | PathsFacts | CommandFacts;

/** What a sealed folder is made of. One run at a time. */
export type Source = {
  /**
   * What is known of the source: for PostgreSQL asked before the dump, for paths what the last `entries` found and
   * skipped (before any: what a walk finds). @throws CodedError SOURCE_FAILED, PG_DUMP_TOO_OLD
   */
  describe(signal?: AbortSignal): Promise<SourceFacts>;
  /**
   * All entries, directories before what they hold. The iteration, or that of a content, throws when the source failed: then
   * no version may be made. Ending the iteration early, or aborting, ends the programs behind it.
   * @throws CodedError SOURCE_FAILED, with the program's own last words; PG_DUMP_TOO_OLD
   */
  entries(signal: AbortSignal): AsyncIterable<SourceEntry>;
  /**
   * A text that changes when the content may have changed, for sources that can tell cheaply; null for others: those
   * are dumped at every run. @throws CodedError SOURCE_FAILED
   */
  fingerprint(): Promise<string | null>;
};
