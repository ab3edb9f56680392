import fs from 'node:fs';
import Database from 'better-sqlite3';
import { expect } from 'vitest';
import type { StoreDeps } from '../../receiver/store/open-store.ts';
import type { StoreOpening } from '../../receiver/store/folder-store.ts';
import type { SeededRandom } from './seeded-random.ts';

export type AnyStore = { readonly opened: StoreOpening; close(): Promise<void> };
export type Reopening = { do: 'reopen'; losingDatabase: boolean };

/** What a store has to be after operations, in the simplest form. */
export type WorkloadModel<Operation, Image> = {
  apply(operation: Operation): WorkloadModel<Operation, Image>;
  image(): Image;
};

export type WorkloadFixture<Store> = { open: () => Promise<Store>; root: string; databasePath: string };

/** A kind of store under random operations, as the fault tests run it. */
export type StoreWorkload<Store extends AnyStore, Operation extends { do: string }, Image> = {
  /** The folder's directory is `data/<agent>/<place>`. */
  place: string;
  model: () => WorkloadModel<Operation, Image>;
  fixture: (directory: string, deps?: Partial<StoreDeps>) => WorkloadFixture<Store>;
  /** One that the store's position allows. */
  nextOperation: (random: SeededRandom, store: Store) => Operation | Reopening;
  /** Does it as a receiver does; not for `reopen`. */
  perform: (store: Store, operation: Operation) => Promise<void>;
  /** What the store shows of itself. */
  imageOf: (store: Store) => Image;
  /** That the plain files are what the store says. */
  expectTreesToMatch: (store: Store, root: string) => void;
  /** Before any recovery: what can be seen is whole, and was there or is there in one of the models. */
  expectOnlyWholeFiles: (root: string, story: string, possible: Image[]) => void;
  /** Where the disk kept a name and not the content, a batch may be there in part, and then its position is not. */
  expectPartOf: (image: Image, possible: Image[], story: string) => void;
  /** What of the database a rebuild has to give again: `TABLE ORDER BY COLUMNS`. */
  tables: string[];
};

/** The model whose image this is. */
export function matching<Operation, Image>(
  models: WorkloadModel<Operation, Image>[],
  image: Image,
  story: string,
): WorkloadModel<Operation, Image> {
  const model = models.find((candidate) => JSON.stringify(candidate.image()) === JSON.stringify(image));
  if (model !== undefined) return model;
  expect(image, story).toEqual(models.at(-1)?.image());
  throw new Error('no model has this image');
}

/** That nothing but content that arrived in part is left after a crash. */
export function expectNothingLeftIncoming(root: string): void {
  expect(fs.readdirSync(`${root}/incoming`).filter((name) => !name.endsWith('.part'))).toEqual([]);
}

/** That a database made from the journal alone has the same rows. The store must be closed. */
export async function expectRebuildToMatch<Store extends AnyStore>(
  { open, databasePath }: WorkloadFixture<Store>,
  tables: readonly string[],
): Promise<void> {
  const kept = `${databasePath}.kept`;
  fs.renameSync(databasePath, kept);
  for (const suffix of ['-wal', '-shm']) {
    if (fs.existsSync(databasePath + suffix)) fs.renameSync(databasePath + suffix, kept + suffix);
  }
  const rebuilt = await open();
  expect(rebuilt.opened.rebuiltIndex).toBe(true);
  await rebuilt.close();
  expect(rowsOf(databasePath, tables)).toEqual(rowsOf(kept, tables));
  for (const suffix of ['', '-wal', '-shm']) fs.rmSync(kept + suffix, { force: true });
}

function rowsOf(databasePath: string, tables: readonly string[]): unknown[] {
  const database = new Database(databasePath);
  try {
    return tables.map((what) => database.prepare(`SELECT * FROM ${what}`).all());
  } finally {
    database.close();
  }
}

/** What a lost database leaves: nothing of it. */
export function removeDatabase(databasePath: string): void {
  for (const suffix of ['', '-wal', '-shm']) fs.rmSync(databasePath + suffix, { force: true });
}
