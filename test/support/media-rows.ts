import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { postgresBin, type PostgresServer } from './postgres.ts';
import { GivenTime } from './given-time.ts';
import type { SeededRandom } from './seeded-random.ts';

/** When a file was there: ms of `MediaRows.time`, from its last written byte until before it was removed. */
export type FileLife = { born: number; died: number | null };

const [briefMs, longMs] = [1500, 8000];

/**
 * Rows that name files, written and deleted as Mastodon does it: a file is there before the row that names it is committed,
 * and one that is replaced or deleted is gone before the commit that forgets it.
 */
export class MediaRows {
  /** Of every file that ever was, by name relative to the root. */
  readonly lives = new Map<string, FileLife>();
  readonly time = new GivenTime();
  readonly #psql: Psql;
  readonly #root: string;
  readonly #random: SeededRandom;
  /** File by row. */
  readonly #rows = new Map<number, string>();
  #made = 0;

  constructor(server: PostgresServer, database: string, root: string, random: SeededRandom) {
    server.sql(
      database,
      'create table media (id bigint primary key, file text not null); create table filler as ' +
        "select i, (select string_agg(md5(i::text || j::text), '') from generate_series(1, 20) j) as text from generate_series(1, 20000) i",
    );
    this.#psql = new Psql(server.connection(database));
    this.#root = root;
    this.#random = random;
  }

  /** One change after the other until the signal; about 25 a second. */
  async churn(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#add();
      if (this.#random.chance(0.6)) await this.#replaceOrDelete();
      await delay(40);
    }
  }

  async stop(): Promise<void> {
    this.time.stop();
    await this.#psql.end();
  }

  async #add(): Promise<void> {
    const file = this.#write();
    const id = this.#made;
    await this.#psql.run(`insert into media values (${id}, '${file}')`);
    this.#rows.set(id, file);
  }

  /** Of a file that has lived very shortly or for long: what lies between is left to no race. */
  async #replaceOrDelete(): Promise<void> {
    const wantsBrief = this.#random.chance(0.3);
    const now = this.time.now();
    const old = [...this.#rows].filter(([, file]) => {
      const age = now - (this.lives.get(file)?.born ?? now);
      return wantsBrief ? age < briefMs : age > longMs;
    });
    if (old.length === 0) return;
    const [id, file] = this.#random.pick(old);
    const replaces = this.#random.chance(0.7);
    const next = replaces ? this.#write() : null;
    await this.#psql.run('begin');
    await this.#psql.run(
      next === null
        ? `delete from media where id = ${id}`
        : `update media set file = '${next}' where id = ${id}`,
    );
    const life = this.lives.get(file);
    if (life !== undefined) life.died = this.time.now();
    fs.rmSync(path.join(this.#root, file));
    await this.#psql.run('commit');
    if (next === null) this.#rows.delete(id);
    else this.#rows.set(id, next);
  }

  #write(): string {
    this.#made += 1;
    const file = `${String(this.#made % 8).padStart(3, '0')}/${this.#made}.png`;
    const place = path.join(this.#root, file);
    fs.mkdirSync(path.dirname(place), { recursive: true });
    fs.writeFileSync(place, file.repeat(100));
    this.lives.set(file, { born: this.time.now(), died: null });
    return file;
  }
}

/** A psql that stays: each statement is done when its promise resolves. */
class Psql {
  readonly #child: ChildProcessWithoutNullStreams;
  #output = '';
  #onDone: () => void = () => {};
  #count = 0;

  constructor(connection: string) {
    this.#child = spawn(path.join(postgresBin, 'psql'), ['-XqAt', '-v', 'ON_ERROR_STOP=1', connection]);
    this.#child.stdout.on('data', (bytes: Buffer) => {
      this.#output += bytes.toString();
      this.#onDone();
    });
  }

  async run(statement: string): Promise<void> {
    this.#count += 1;
    const mark = `done ${this.#count}\n`;
    await new Promise<void>((resolve, reject) => {
      const onClose = (): void => reject(new Error(`psql ended at: ${statement}`));
      this.#child.once('close', onClose);
      this.#onDone = () => {
        if (!this.#output.endsWith(mark)) return;
        this.#child.off('close', onClose);
        resolve();
      };
      this.#child.stdin.write(`${statement};\n\\echo ${mark}`);
    });
    this.#output = '';
  }

  async end(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#child.stdin.end();
    await closed;
  }
}
