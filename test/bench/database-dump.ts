import fs from 'node:fs';
import path from 'node:path';
import type { MastodonDatabase } from '../support/mastodon-database.ts';
import { postgresBin } from '../support/postgres.ts';
import { measureProcess, type Measured } from './measured-process.ts';

/** The dump of a database in a file, of which every candidate reads the same bytes. */
export class DatabaseDump {
  readonly file: string;
  readonly #argv: readonly string[];

  constructor(file: string, database: MastodonDatabase) {
    this.file = file;
    this.#argv = [path.join(postgresBin, 'pg_dump'), '-Fc', '-Z0', '-d', database.connection()];
  }

  /** The plan of a sealed folder that takes it. */
  get asCommand(): { id: string; source: readonly string[] } {
    return { id: 'bytes', source: ['--command', `cat '${this.file}'`] };
  }

  /** Makes it anew; gives its size. Straight into a file, pg_dump writes offsets into it. */
  async make(): Promise<number> {
    await measureProcess(this.#argv, { output: this.file });
    return fs.statSync(this.file).size;
  }

  /** What pg_dump takes by itself, its output thrown away. */
  async bare(): Promise<Measured> {
    return measureProcess(this.#argv);
  }
}
