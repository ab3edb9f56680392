import { spawn } from 'node:child_process';
import readline from 'node:readline';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { PostgresTarget } from './postgres-target.ts';

const linesKeptMax = 20;
const wordsBytesMax = 2000;

/** `words`: the end of what it said on standard error, its errors alone where there are any; never the password. */
type Ran = { exitCode: number | null; output: string; words: string };

/**
 * Runs a program of PostgreSQL to its end. The password reaches it by the environment only. When the signal aborts, it
 * is ended and the exit code is not 0.
 * @throws CodedError TARGET_UNUSABLE: it cannot be started
 */
export async function runPostgres(
  [command, ...args]: readonly [string, ...string[]],
  { password }: PostgresTarget,
  options: { signal?: AbortSignal; onLine?: (line: string) => void } = {},
): Promise<Ran> {
  const secret = password === null ? {} : { PGPASSWORD: password };
  const environment = { ...process.env, LC_MESSAGES: 'C', PGAPPNAME: 'mastokeep', ...secret };
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: environment });
  const end = (): void => void child.kill('SIGTERM');
  options.signal?.addEventListener('abort', end, { once: true });
  if (options.signal?.aborted === true) end();
  let output = '';
  child.stdout.on('data', (piece: Buffer) => (output += piece.toString('utf8')));
  const lines: string[] = [];
  const errors: string[] = [];
  const reading = (async () => {
    for await (const line of readline.createInterface({ input: child.stderr })) {
      options.onLine?.(line);
      if (/^[a-z_]+: (?:error|detail|hint):/.test(line)) errors.push(line);
      lines.push(line);
      if (lines.length > linesKeptMax) lines.shift();
    }
  })();
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once('error', (cause) => {
        const hint = { hint: 'install the package postgresql-client', cause };
        reject(new CodedError('TARGET_UNUSABLE', `${command} cannot be started`, hint));
      });
      child.once('close', (code) => resolve(code));
    });
    await reading;
    const words = (errors.length > 0 ? errors : lines).join('; ').slice(0, wordsBytesMax);
    return { exitCode, output, words: password === null ? words : words.replaceAll(password, '***') };
  } finally {
    options.signal?.removeEventListener('abort', end);
  }
}
