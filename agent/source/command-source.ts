import { spawnSync } from 'node:child_process';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { processOutput, type ProcessLimits } from './source-process.ts';
import type { CommandFacts, Source, SourceEntry } from './source.ts';
import { streamedFile } from './streamed-file.ts';

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

  entries(signal: AbortSignal): AsyncGenerator<SourceEntry, void, void> {
    return streamedFile(this.#options.fileName, 'the output of the command', this.#output(signal));
  }

  async *#output(signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
    const { command, limits } = this.#options;
    const shell = hasBash() ? ['bash', '-o', 'pipefail', '-c'] : ['sh', '-c'];
    const plan = {
      label: 'the command',
      argv: [...shell, command],
      environment: {},
      secrets: [],
      input: null,
    };
    let bytes = 0;
    for await (const piece of processOutput(plan, signal, limits)) {
      bytes += piece.length;
      yield piece;
    }
    if (bytes === 0) throw new CodedError('SOURCE_FAILED', 'the command printed nothing');
  }

  fingerprint(): Promise<null> {
    return Promise.resolve(null);
  }
}

function hasBash(): boolean {
  return spawnSync('bash', ['-c', 'set -o pipefail'], { stdio: 'ignore' }).status === 0;
}
