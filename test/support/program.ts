import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export type ProgramName = 'agent' | 'receiver';

export type CommandResult = { code: number; stdout: string; stderr: string };

type SpawnOptions = {
  env?: Record<string, string>;
  input?: string;
  timeoutMs?: number;
  /** Its stderr goes to that of this process, for a progress bar; then it is not kept. */
  showStderr?: boolean;
  /** What `tsc -b` made of it, as it is installed, instead of the sources. */
  compiled?: boolean;
};

const checkout = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const logBytesMax = 512 * 1024;
const living = new Map<ChildProcess, { args: readonly string[]; exited: Promise<number> }>();

process.on('exit', () => killPrograms());

/** Kills every process group that this process started and that still lives. */
export function killPrograms(): void {
  for (const child of living.keys()) killGroup(child, 'SIGKILL');
}

/** Kills those whose arguments name a path in the directory, and resolves when none of them writes there any more. */
export async function endProgramsOn(directory: string): Promise<void> {
  const theirs = [...living].filter(([, { args }]) => args.some((arg) => arg.startsWith(directory)));
  for (const [child] of theirs) killGroup(child, 'SIGKILL');
  await Promise.all(theirs.map(async ([, { exited }]) => await exited));
}

/**
 * One run of a program as a user would start it in a checkout: `node agent/main.ts …`. It is a process group of its
 * own, and all that it says is kept for waiting and for failures.
 */
export class Program {
  readonly name: ProgramName;
  readonly args: readonly string[];
  readonly exited: Promise<number>;
  stdout = '';
  stderr = '';
  exitCode: number | null = null;
  readonly #child: ChildProcess;
  readonly #listeners = new Set<() => void>();

  constructor(name: ProgramName, args: readonly string[], options: SpawnOptions = {}) {
    this.name = name;
    this.args = args;
    const entry = options.compiled === true ? `dist/${name}/main.js` : `${name}/main.ts`;
    const child = spawn(process.execPath, [path.join(checkout, entry), ...args], {
      cwd: checkout,
      detached: true,
      stdio: ['pipe', 'pipe', options.showStderr === true ? 'inherit' : 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...options.env },
    });
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout = (this.stdout + text).slice(-64 * logBytesMax);
      this.#wake();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-logBytesMax);
      this.#wake();
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
    this.exited = once(child, 'close').then(([code, signal]) => {
      living.delete(child);
      this.exitCode = typeof code === 'number' ? code : signalExitCode(signal as NodeJS.Signals);
      this.#wake();
      return this.exitCode;
    });
    living.set(child, { args, exited: this.exited });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** The whole match, as soon as stdout or stderr has it. Throws when the program ends first or at the deadline. */
  async said(pattern: RegExp, timeoutMs = 120_000): Promise<RegExpMatchArray> {
    return await new Promise<RegExpMatchArray>((resolve, reject) => {
      const finish = (settle: () => void): void => {
        this.#listeners.delete(look);
        clearTimeout(timer);
        settle();
      };
      const look = (): void => {
        const found = this.stdout.match(pattern) ?? this.stderr.match(pattern);
        if (found !== null) finish(() => resolve(found));
        else if (this.exitCode !== null)
          finish(() => reject(new Error(`ended before it said ${pattern}\n${this.report()}`)));
      };
      const timer = setTimeout(() => {
        finish(() => reject(new Error(`did not say ${pattern} within ${timeoutMs} ms\n${this.report()}`)));
      }, timeoutMs);
      this.#listeners.add(look);
      look();
    });
  }

  /** Asks it to end as systemd does and gives the exit code; kills it where it does not end in time. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 120_000): Promise<number> {
    if (this.exitCode !== null) return this.exitCode;
    this.#child.kill(signal);
    const timer = setTimeout(() => killGroup(this.#child, 'SIGKILL'), timeoutMs);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }

  /** Ends it and all that it started as a power cut would. */
  async kill(): Promise<void> {
    killGroup(this.#child, 'SIGKILL');
    await this.exited;
  }

  /** The command line and the end of what it said, for a failing test. */
  report(): string {
    const end = (text: string): string => text.split('\n').slice(-60).join('\n');
    return `--- ${this.name} ${this.args.join(' ')} (exit code ${this.exitCode ?? 'none yet'})\n${end(this.stdout)}\n${end(this.stderr)}`;
  }

  #wake(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Runs a command to its end and gives what it said; does not throw for its exit code. */
export async function runCommand(
  name: ProgramName,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<CommandResult> {
  const program = new Program(name, args, options);
  const timeoutMs = options.timeoutMs ?? 600_000;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void program.kill();
  }, timeoutMs);
  const code = await program.exited;
  clearTimeout(timer);
  if (late) throw new Error(`not finished within ${timeoutMs} ms\n${program.report()}`);
  return { code, stdout: program.stdout, stderr: program.stderr };
}

/** Like `runCommand`, but any exit code other than 0 throws with all that was said. */
export async function mustRun(
  name: ProgramName,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<CommandResult> {
  const result = await runCommand(name, args, options);
  if (result.code !== 0) {
    throw new Error(
      `${name} ${args.join(' ')}: exit code ${result.code}\n${result.stdout}\n${result.stderr}`,
    );
  }
  return result;
}

/** The last line that is not empty. */
export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1)?.trim() ?? '';
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group has ended by itself.
  }
}

function signalExitCode(signal: NodeJS.Signals): number {
  return signal === 'SIGKILL' ? 137 : signal === 'SIGTERM' ? 143 : 128;
}
