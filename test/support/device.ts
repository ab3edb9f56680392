import path from 'node:path';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { callControl } from '../../shared/io/control-client.ts';
import { homeAt } from '../../shared/io/home.ts';
import { lastLine, mustRun, Program, runCommand, type CommandResult, type ProgramName } from './program.ts';
import { until } from './until.ts';

/** What `status --json` of an agent says at least. @see README.md#commands */
export type AgentStatus = {
  deviceId: string;
  folders: {
    id: string;
    kind: string;
    files: number;
    bytes: number;
    sequence: number;
    state: string;
    reason: string | null;
    lastScanAt: string | null;
    lastVersionAt: string | null;
  }[];
  spoolBytes: number;
  receivers: {
    deviceId: string;
    connected: boolean;
    folders: { id: string; durableSequence: number; lagBytes: number; lagFiles: number }[];
  }[];
  alarms: { code: string; message: string; since: string }[];
};

/** What `status --json` of a receiver says at least. */
export type ReceiverStatus = {
  deviceId: string;
  listening: string[];
  agents: {
    deviceId: string;
    formerly: string[];
    connected: boolean;
    frozen: boolean;
    quotaBytes: number | null;
    usedBytes: number;
    points: { count: number; latestAt: string | null; oldestAt: string | null; forgotten: number };
    folders: {
      id: string;
      kind: string;
      files: number;
      bytes: number;
      versions: number;
      durableSequence: number;
    }[];
  }[];
  alarms: { code: string; message: string; since: string }[];
};

/** A home of one of the two programs and the process that runs on it. */
export class Device<Status> {
  readonly kind: ProgramName;
  readonly home: string;
  env: Record<string, string> = {};
  /** Whether what `tsc -b` made runs, and not the sources. */
  compiled = false;
  #daemon: Program | null = null;

  constructor(kind: ProgramName, home: string) {
    this.kind = kind;
    this.home = home;
  }

  /** Runs a command on this home; any exit code is given back. */
  async run(
    args: readonly string[],
    options: { timeoutMs?: number; input?: string } = {},
  ): Promise<CommandResult> {
    return await runCommand(this.kind, ['--home', this.home, ...args], { ...this.#how(), ...options });
  }

  /** Runs a command on this home that must end with 0. */
  async must(args: readonly string[], options: { timeoutMs?: number } = {}): Promise<string> {
    const result = await mustRun(this.kind, ['--home', this.home, ...args], { ...this.#how(), ...options });
    return result.stdout;
  }

  /** Starts a command on this home and gives it while it runs. */
  begin(args: readonly string[]): Program {
    return new Program(this.kind, ['--home', this.home, ...args], this.#how());
  }

  get daemon(): Program {
    if (this.#daemon === null) throw new Error(`the ${this.kind} in ${this.home} was not started`);
    return this.#daemon;
  }

  get isRunning(): boolean {
    return this.#daemon !== null && this.#daemon.exitCode === null;
  }

  /** Starts `run` and waits until it answers `status`. */
  async start(env: Record<string, string> = {}): Promise<void> {
    await this.launch(env);
    await until(`${this.kind} answers status`, async () => await this.statusOrNull(), {
      explain: () => this.daemon.report(),
    });
  }

  /** Starts `run` and waits for nothing; for runs that are to be killed early. */
  async launch(env: Record<string, string> = {}): Promise<Program> {
    const how = { ...this.#how(), env: { ...this.env, ...env } };
    this.#daemon = new Program(this.kind, ['--home', this.home, 'run'], how);
    return this.#daemon;
  }

  async stop(): Promise<number> {
    return await this.daemon.stop();
  }

  async kill(): Promise<void> {
    await this.daemon.kill();
  }

  async id(): Promise<string> {
    return lastLine(await this.must(['id']));
  }

  /** What `status --json` prints, without a process for the question: that takes longer than the rest, and is asked often. */
  async status(): Promise<Status> {
    return (await callControl(homeAt(this.home, `${this.kind}.yaml`), 'status', {})) as Status;
  }

  async statusOrNull(): Promise<Status | null> {
    if (this.daemon.exitCode !== null) throw new Error(`ended\n${this.daemon.report()}`);
    try {
      return await this.status();
    } catch (error) {
      if (error instanceof CodedError) return null;
      throw error;
    }
  }

  /** The text that the other side joins with; `args` e.g. `--role restore`. */
  async invite(args: readonly string[] = []): Promise<string> {
    return lastLine(await this.must(['invite', ...args]));
  }

  #how(): { env: Record<string, string>; compiled: boolean } {
    return { env: this.env, compiled: this.compiled };
  }
}

export type Agent = Device<AgentStatus>;
export type Receiver = Device<ReceiverStatus>;

/** Where a receiver keeps the plain copy of an agent's folder. */
export function currentDirectory(dataDirectory: string, agentId: string, folder = 'media'): string {
  return path.join(dataDirectory, agentId, folder, 'current');
}

export function versionsDirectory(dataDirectory: string, agentId: string, folder = 'media'): string {
  return path.join(dataDirectory, agentId, folder, 'versions');
}
