import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { describeDuration } from '../../shared/cli/duration.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { installedPrograms } from '../postgres/installed-programs.ts';
import type { PostgresTarget } from './postgres-target.ts';

/** Objects that took so long are told with their time. */
const slowMs = 1000;
const wordsBytesMax = 2000;

type Deps = { note: (line: string) => void };

/** A directory that only we can read, for an archive on its way into a database. `remove` may be called again. */
export function makeScratch(parent: string | null): { directory: string; remove(): void } {
  const directory = fs.mkdtempSync(path.join(parent ?? os.tmpdir(), 'mastokeep-restore-'));
  return { directory, remove: () => fs.rmSync(directory, { recursive: true, force: true }) };
}

/**
 * Makes the database from `template0` and restores the archive (`pg_dump -Fc`) into it, with owners left out. Progress
 * by entry of the archive's table of contents. A database that could not be restored whole is dropped again.
 * @returns how many entries there were
 * @throws CodedError RESTORE_CONFLICT (it exists), RESTORE_INCOMPLETE with the program's own last words
 */
export async function restoreDatabase(
  deps: Deps,
  archive: string,
  target: PostgresTarget,
  jobs: number,
): Promise<{ entries: number }> {
  const { database, maintenance, connection } = target;
  const program = (name: string): string => installedPrograms(name)[0] ?? name;
  const listing = await run(program('pg_restore'), ['--list', archive], target);
  if (listing.exitCode !== 0) {
    throw new CodedError('RESTORE_INCOMPLETE', `pg_restore cannot read the dump: ${listing.words}`);
  }
  const total = listing.output.split('\n').filter((line) => /^\d+;/.test(line)).length;
  const created = await run(
    program('createdb'),
    ['-T', 'template0', `--maintenance-db=${maintenance}`, '--', database],
    target,
  );
  if (created.exitCode !== 0) {
    const exists = created.words.includes('already exists');
    throw new CodedError(
      exists ? 'RESTORE_CONFLICT' : 'RESTORE_INCOMPLETE',
      `database ${database} could not be made: ${created.words}`,
      exists ? { hint: 'drop or rename it first, or restore into one of another name' } : {},
    );
  }
  const progress = new EntryProgress(deps, total);
  const options = ['--no-owner', '--exit-on-error', '--verbose', `--jobs=${jobs}`, `--dbname=${connection}`];
  const restored = await run(program('pg_restore'), [...options, archive], target, (line) =>
    progress.take(line),
  );
  if (restored.exitCode === 0) return { entries: total };
  await run(program('dropdb'), ['--if-exists', `--maintenance-db=${maintenance}`, '--', database], target);
  throw new CodedError(
    'RESTORE_INCOMPLETE',
    `pg_restore failed, and the database was dropped again: ${restored.words}`,
    {
      hint: 'an extension that the database uses may be missing on this server; see what pg_restore says',
    },
  );
}

/** What `pg_restore --verbose` says, as progress. With several jobs it tells when each entry begins and ends. */
export class EntryProgress {
  readonly #note: (line: string) => void;
  readonly #total: number;
  readonly #begun = new Map<string, number>();
  readonly #now: () => number;
  #done = 0;
  #phase = '';

  constructor({ note }: Deps, total: number, now: () => number = () => performance.now()) {
    this.#note = note;
    this.#total = total;
    this.#now = now;
  }

  take(line: string): void {
    const entry = /^pg_restore: (?<what>launching|finished|processing) item \d+ (?<name>.+)$/.exec(
      line,
    )?.groups;
    if (entry !== undefined) {
      const name = entry['name'] ?? '';
      if (entry['what'] === 'finished') this.#finish(name);
      else if (entry['what'] === 'launching') this.#begin(name);
      return;
    }
    const single = /^pg_restore: (?:creating (?<name>.+)|processing data for table (?<table>.+))$/.exec(
      line,
    )?.groups;
    if (single === undefined) return;
    for (const name of this.#begun.keys()) this.#finish(name);
    this.#begin(single['name'] ?? `TABLE DATA ${single['table']}`);
  }

  #begin(name: string): void {
    this.#begun.set(name, this.#now());
    const phase = phaseOf(name);
    if (phase === this.#phase || phase === '') return;
    this.#phase = phase;
    if (phase === 'FK CONSTRAINT') {
      this.#note(
        'foreign keys are being checked: a long quiet phase is normal now, large tables are read whole',
      );
    }
  }

  #finish(name: string): void {
    const begunAt = this.#begun.get(name) ?? this.#now();
    this.#begun.delete(name);
    this.#done += 1;
    const tookMs = this.#now() - begunAt;
    if (tookMs < slowMs && phaseOf(name) === '') return;
    this.#note(`[${this.#done}/${this.#total}] ${name}, ${describeDuration(tookMs)}`);
  }
}

/** Of the entries that take time; empty for the others. */
function phaseOf(name: string): string {
  return /^(?:TABLE DATA|INDEX|CONSTRAINT|FK CONSTRAINT|MATERIALIZED VIEW DATA)(?= )/.exec(name)?.[0] ?? '';
}

type Ran = { exitCode: number | null; output: string; words: string };

/** `words`: the end of what it said on standard error, its errors first where there are any. */
async function run(
  command: string,
  args: readonly string[],
  { password }: PostgresTarget,
  onLine: (line: string) => void = () => {},
): Promise<Ran> {
  const secret = password === null ? {} : { PGPASSWORD: password };
  const environment = { ...process.env, LC_MESSAGES: 'C', PGAPPNAME: 'mastokeep', ...secret };
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: environment });
  let output = '';
  child.stdout.on('data', (piece: Buffer) => (output += piece.toString('utf8')));
  const lines: string[] = [];
  const errors: string[] = [];
  const reading = (async () => {
    for await (const line of readline.createInterface({ input: child.stderr })) {
      onLine(line);
      if (/^[a-z_]+: (?:error|detail|hint):/.test(line)) errors.push(line);
      lines.push(line);
      if (lines.length > 20) lines.shift();
    }
  })();
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (cause) => {
      const hint = { hint: 'install the package postgresql-client', cause };
      reject(new CodedError('RESTORE_INCOMPLETE', `${command} cannot be started`, hint));
    });
    child.once('close', (code) => resolve(code));
  });
  await reading;
  const words = (errors.length > 0 ? errors : lines).join('; ').slice(0, wordsBytesMax);
  return { exitCode, output, words: password === null ? words : words.replaceAll(password, '***') };
}
