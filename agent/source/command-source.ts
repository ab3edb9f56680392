import { spawnSync } from 'node:child_process';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { processOutput, type ProcessLimits } from './source-process.ts';
import type { CommandFacts, Source, SourceEntry } from './source.ts';

export type CommandSourceOptions = {
  /** A shell command line; `redis-cli --rdb -` for example. */
  command: string;
  /** Name of its output in the version. */
  fileName: string;
  limits: Partial<ProcessLimits>;
};

/**
 * What a command prints. Run by bash with pipefail, so that no failing part of a pipe goes unseen; where there is no
 * bash by sh, and `describe` says so. Output of no bytes is a failure.
 */
export class CommandSource implements Source {
  readonly #options: CommandSourceOptions;

  constructor(options: Pick<CommandSourceOptions, 'command'> & Partial<CommandSourceOptions>) {
    this.#options = { fileName: 'output', limits: {}, ...options };
  }

  describe(): Promise<CommandFacts> {
    return Promise.resolve({ kind: 'command', pipefail: hasBash() });
  }

  // oxlint-disable-next-line require-await -- an async generator, as every source's entries are
  async *entries(signal: AbortSignal): AsyncGenerator<SourceEntry, void, void> {
    const { command, fileName, limits } = this.#options;
    const shell = hasBash() ? ['bash', '-o', 'pipefail', '-c'] : ['sh', '-c'];
    const plan = {
      label: 'the command',
      argv: [...shell, command],
      environment: {},
      secrets: [],
      input: null,
    };
    const walk = { finished: false };
    yield {
      path: parseTypedPath(fileName),
      kind: 'file',
      mode: 0o600,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
      mtimeNs: BigInt(Date.now()) * 1_000_000n,
      target: null,
      size: null,
      content: (async function* () {
        let bytes = 0;
        for await (const piece of processOutput(plan, signal, limits)) {
          bytes += piece.length;
          yield piece;
        }
        if (bytes === 0) throw new CodedError('SOURCE_FAILED', 'the command printed nothing');
        walk.finished = true;
      })(),
    };
    if (!walk.finished)
      throw new CodedError('SOURCE_FAILED', 'the output of the command was not read to its end');
  }

  fingerprint(): Promise<null> {
    return Promise.resolve(null);
  }
}

function hasBash(): boolean {
  return spawnSync('bash', ['-c', 'set -o pipefail'], { stdio: 'ignore' }).status === 0;
}
