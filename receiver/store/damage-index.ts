import type Database from 'better-sqlite3';
import { encodeRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';
import { lackingRows, type MomentInterval } from './interval-index.ts';
import type { ChangeEntry, DamageEntry, DamageKind } from './journal-entry.ts';

/** A stored file that is damaged: the live one of the path (`id` null), or that version's; `foundAt` in ms. */
export type Damage = Pick<DamageEntry, 'path' | 'id' | 'foundAt' | 'aside'> & { found: DamageKind };

const schema = `
  CREATE TABLE IF NOT EXISTS damaged (path BLOB NOT NULL, id INTEGER NOT NULL, found TEXT NOT NULL, found_at INTEGER NOT NULL,
    aside BLOB, PRIMARY KEY (path, id)) WITHOUT ROWID;
`;
/** No version has it. */
const liveId = 0;

type Row = { path: Buffer; id: number; found: DamageKind; found_at: number; aside: Buffer | null };

/**
 * Which stored files are damaged: as long as nothing came in their place, whatever becomes of their path. A part of the
 * mirror index: written only in its transactions, from entries of the journal.
 */
export class DamageIndex {
  readonly #statements: ReturnType<typeof prepareStatements>;
  #count = 0;

  constructor(database: Database.Database) {
    database.exec(schema);
    this.#statements = prepareStatements(database);
    this.recount();
  }

  get count(): number {
    return this.#count;
  }

  recount(): void {
    this.#count = (this.#statements.count.get() as { count: number }).count;
  }

  /** Of the live file of the path, or (`id`) of a version. */
  get(path: RelativePath, id: number | null): Damage | null {
    if (this.#count === 0) return null;
    const row = this.#statements.get.get(encodeRelativePath(path), id ?? liveId) as Row | undefined;
    return row === undefined ? null : readDamage(row);
  }

  /** By path and id, behind the last one of a page. */
  after(after: Pick<Damage, 'path' | 'id'> | null, limit: number): Damage[] {
    if (this.#count === 0) return [];
    const key = after === null ? [-1, liveId] : [encodeRelativePath(after.path), after.id ?? liveId];
    return (this.#statements.after.all(...key, limit) as Row[]).map(readDamage);
  }

  /** Paths of which the content that an interval has is damaged, in byte order, after the path. */
  between({ from, to }: MomentInterval, after: RelativePath | null, limit: number): RelativePath[] {
    if (this.#count === 0) return [];
    const key = after === null ? -1 : encodeRelativePath(after);
    const rows = this.#statements.between.all({ from, to, after: key, limit }) as { path: Buffer }[];
    return rows.map(({ path }) => path.toString('latin1') as RelativePath);
  }

  /** How many there are beside those whose content is not known for sure anyway. */
  countBetween({ from, to }: MomentInterval): number {
    if (this.#count === 0) return 0;
    return (this.#statements.countBetween.get({ from, to, after: -1 }) as { count: number }).count;
  }

  set({ path, id, found, foundAt, aside }: DamageEntry): void {
    const key = encodeRelativePath(path);
    this.#drop(key, id ?? liveId);
    if (found === null) return;
    const asideBytes = aside === null ? null : Buffer.from(aside, 'latin1');
    this.#statements.add.run(key, id ?? liveId, found, foundAt, asideBytes);
    this.#count += 1;
  }

  /** Before another change of the path: the damage goes with the content into a version, and away where new bytes come. */
  follow(path: Buffer, change: ChangeEntry): void {
    if (this.#count === 0) return;
    if (change.type === 'expire') this.#drop(path, change.id);
    if (change.type !== 'set' && change.type !== 'remove') return;
    if (change.replaced !== null) {
      this.#statements.move.run(change.replaced.id, path, liveId);
      return;
    }
    if (change.type !== 'set') return;
    const { state } = change.holding;
    const isSame = state.kind === 'file' && this.#statements.same.get(path, state.hash) !== undefined;
    if (change.temp !== null || !isSame) this.#drop(path, liveId);
  }

  #drop(path: Buffer, id: number): void {
    this.#count -= this.#statements.drop.run(path, id).changes;
  }
}

function readDamage({ path, id, found, found_at: foundAt, aside }: Row): Damage {
  return {
    path: path.toString('latin1') as RelativePath,
    id: id === liveId ? null : id,
    found,
    foundAt,
    aside: aside?.toString('latin1') ?? null,
  };
}

/** Of each path the interval has the content that came last in it: see `intervalQueries`. */
const betweenRows = `SELECT d.path FROM damaged AS d CROSS JOIN live AS l ON l.path = d.path
    WHERE d.path > @after AND d.id = ${liveId} AND l.begun <= @to
    UNION
    SELECT d.path FROM damaged AS d CROSS JOIN versions AS v ON v.id = d.id
    WHERE d.path > @after AND d.id <> ${liveId} AND v.begun <= @to AND v.ended > @from
      AND NOT EXISTS (SELECT 1 FROM live WHERE path = d.path AND begun <= @to)
      AND NOT EXISTS (SELECT 1 FROM versions AS w WHERE w.path = d.path AND w.begun <= @to AND (w.begun, w.id) > (v.begun, v.id))`;

/** SQL: the file of a row of `live` (its id: 0) or `versions` is not known to be damaged. */
export function isWhole(table: 'live' | 'versions', id: string): string {
  return `NOT EXISTS (SELECT 1 FROM damaged AS d WHERE d.path = ${table}.path AND d.id = ${id})`;
}

function prepareStatements(database: Database.Database) {
  return {
    count: database.prepare('SELECT count(*) AS count FROM damaged'),
    get: database.prepare('SELECT * FROM damaged WHERE path = ? AND id = ?'),
    after: database.prepare('SELECT * FROM damaged WHERE (path, id) > (?, ?) ORDER BY path, id LIMIT ?'),
    between: database.prepare(`${betweenRows} ORDER BY 1 LIMIT @limit`),
    countBetween: database.prepare(
      `SELECT count(*) AS count FROM (${betweenRows}) WHERE path NOT IN (SELECT g.path ${lackingRows})`,
    ),
    add: database.prepare('INSERT INTO damaged (path, id, found, found_at, aside) VALUES (?, ?, ?, ?, ?)'),
    move: database.prepare('UPDATE OR REPLACE damaged SET id = ? WHERE path = ? AND id = ?'),
    drop: database.prepare('DELETE FROM damaged WHERE path = ? AND id = ?'),
    same: database.prepare('SELECT 1 FROM live WHERE path = ? AND hash = ?'),
  };
}
