import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { ProgramName } from './program.ts';

const checkout = path.resolve(import.meta.dirname, '../..');
/** Gives its arguments a pseudo-terminal of their own, without a size, between its standard input and output. */
const inTerminal = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';

export const keys = { enter: '\r', down: '\u001B[B', interrupt: '\u0003' } as const;

/** A program as a person runs it in a terminal: types, and reads what the screen says. */
export class TerminalSession {
  readonly exited: Promise<number>;
  readonly #child: ChildProcess;
  readonly #listeners = new Set<() => void>();
  #raw = '';
  #seen = 0;
  #exitCode: number | null = null;

  constructor(name: ProgramName, args: readonly string[]) {
    const command = [process.execPath, path.join(checkout, name, 'main.ts'), ...args];
    const child = spawn('python3', ['-c', inTerminal, ...command], {
      cwd: checkout,
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, NO_COLOR: '1', TERM: 'xterm' },
    });
    this.#child = child;
    child.stdin.on('error', () => {});
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#raw += text;
      for (const listener of this.#listeners) listener();
    });
    this.exited = once(child, 'close').then(([code]) => {
      this.#exitCode = code as number;
      for (const listener of this.#listeners) listener();
      return code as number;
    });
  }

  /** All that the screen was told, without control sequences. */
  get text(): string {
    return stripVTControlCharacters(this.#raw).replaceAll('\r\n', '\n');
  }

  /** The first match in what was said since the last call's match. Throws at the end of the program or at the deadline. */
  async said(pattern: RegExp, timeoutMs = 120_000): Promise<RegExpMatchArray> {
    return await new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        this.#listeners.delete(look);
        clearTimeout(timer);
        settle();
      };
      const look = (): void => {
        const found = this.text.slice(this.#seen).match(pattern);
        if (found !== null) {
          this.#seen += (found.index ?? 0) + found[0].length;
          finish(() => resolve(found));
        } else if (this.#exitCode !== null) {
          finish(() => reject(new Error(`ended before it said ${pattern}:\n${this.text}`)));
        }
      };
      const timer = setTimeout(
        () => finish(() => reject(new Error(`did not say ${pattern}:\n${this.text}`))),
        timeoutMs,
      );
      this.#listeners.add(look);
      look();
    });
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits for the question and answers it. */
  async answer(question: RegExp, text: string): Promise<void> {
    await this.said(question);
    this.type(`${text}${keys.enter}`);
  }

  /** Hangs up. */
  end(): void {
    this.#child.kill('SIGKILL');
  }
}
