import type Database from 'better-sqlite3';

/** Runs SQL on a database; each text is prepared once. */
export class CachedStatements {
  readonly database: Database.Database;
  readonly #statements = new Map<string, Database.Statement>();

  constructor(database: Database.Database) {
    this.database = database;
  }

  run(sql: string, ...parameters: unknown[]): Database.RunResult {
    return this.#prepared(sql).run(...parameters);
  }

  get<Row>(sql: string, ...parameters: unknown[]): Row | null {
    return (this.#prepared(sql).get(...parameters) as Row | undefined) ?? null;
  }

  all<Row>(sql: string, ...parameters: unknown[]): Row[] {
    return this.#prepared(sql).all(...parameters) as Row[];
  }

  /** All that `work` writes is durable when this returns, or none of it is there. */
  transaction<Result>(work: () => Result): Result {
    return this.database.transaction(work)();
  }

  #prepared(sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}
