import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { ProgramOutput } from './program-output.ts';

/** How a source starts a program. `secrets` are blotted out of its last words; `input` goes to its standard input. */
export type ProcessPlan = {
  /** What errors call it: `pg_dump`, `the command`. */
  label: string;
  argv: readonly string[];
  environment: Readonly<Record<string, string>>;
  secrets: readonly string[];
  input: string | null;
  /** Whether its standard output may be buffered in larger pieces than the C library would choose for a pipe. */
  largeBuffer?: boolean;
};

export type ProcessLimits = {
  /** How long whoever reads may wait between two pieces. */
  consumerWaitMsMax: number;
  /** How long the program may print nothing. */
  silenceMsMax: number;
};

/** A dump that waits for room in the spool gives up after 10 minutes, and says so: only what waits for longer is ended here. */
export const processLimitDefaults: ProcessLimits = {
  consumerWaitMsMax: 11 * 60_000,
  silenceMsMax: 60 * 60_000,
};
const lastWordsBytesMax = 2048;
const killDelayMs = 5000;
const stderrWaitMs = 1000;

const runningGroups = new Set<number>();
let exitHookSet = false;

/**
 * Starts the program at the lowest CPU priority and a low I/O priority, in a process group of its own, and gives what
 * it prints; a piece is valid until the next one is asked for. Ends without an error only when the program exited with 0. When
 * the iteration ends early, the signal aborts or a limit is passed, the whole group is ended.
 * @throws CodedError SOURCE_FAILED with the last 2 KiB of what it said on standard error
 */
export async function* processOutput(
  plan: ProcessPlan,
  signal: AbortSignal,
  limits: Partial<ProcessLimits> = {},
): AsyncGenerator<Buffer, void, void> {
  const { consumerWaitMsMax, silenceMsMax } = { ...processLimitDefaults, ...limits };
  if (signal.aborted) throw cancelled(plan);
  const argv = [...lowPriority(), ...(plan.largeBuffer === true ? largeBuffer() : []), ...plan.argv];
  const output = await openOutput(plan);
  // meanwhile nobody listened to the signal
  if (signal.aborted) {
    output.destroy();
    throw cancelled(plan);
  }
  const child = start(plan, argv, output);
  const ending = watchEnding(child, plan);
  const run: { failure: CodedError | null; finished: boolean } = { failure: null, finished: false };
  const fail = (error: CodedError) => {
    run.failure ??= error;
    ending.killGroup();
    output.destroy();
  };
  const onAbort = () => fail(cancelled(plan));
  signal.addEventListener('abort', onAbort, { once: true });
  child.stdin?.on('error', () => {}).end(plan.input);
  let timer: NodeJS.Timeout | undefined;
  const arm = (ms: number, message: string) => {
    clearTimeout(timer);
    timer = setTimeout(() => fail(new CodedError('SOURCE_FAILED', `${plan.label} ${message}`)), ms);
  };
  const silent = `printed nothing for ${formatDuration(silenceMsMax)} and was ended`;
  const stalled = `had to wait ${formatDuration(consumerWaitMsMax)} for its output to be taken and was ended`;
  try {
    arm(silenceMsMax, silent);
    try {
      for await (const piece of output.pieces()) {
        arm(consumerWaitMsMax, stalled);
        yield piece;
        if (run.failure !== null) break;
        arm(silenceMsMax, silent);
      }
    } catch (error) {
      run.failure ??= unreadable(plan, error);
    }
    clearTimeout(timer);
    const exit = run.failure ?? (await ending.exited);
    run.finished = run.failure === null;
    const failure = run.failure ?? exit;
    if (failure !== null) throw failure;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    output.destroy();
    if (!run.finished) ending.killGroup();
  }
}

/** All that the program prints, at most 16 MiB, as text. @throws CodedError SOURCE_FAILED */
export async function readProcess(
  plan: ProcessPlan,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of processOutput(plan, signal, { silenceMsMax: timeoutMs })) {
    bytes += piece.length;
    if (bytes > 16 * 1024 * 1024) throw new CodedError('SOURCE_FAILED', `${plan.label} prints too much`);
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** Follows a child to its end. `exited`: null after exit status 0, otherwise what to throw. */
function watchEnding(child: ChildProcess, plan: ProcessPlan) {
  let said = Buffer.alloc(0);
  let gone = false;
  child.stderr?.on('data', (piece: Buffer) => {
    said = Buffer.concat([said, piece]);
    if (said.length > 4 * lastWordsBytesMax) said = said.subarray(said.length - 2 * lastWordsBytesMax);
  });
  const group = child.pid;
  if (group !== undefined) {
    runningGroups.add(group);
    endGroupsWithProgram();
  }
  const exited = new Promise<CodedError | null>((resolve) => {
    child.once('error', (error) => {
      gone = true;
      resolve(notStarted(plan, error));
    });
    child.once('exit', (status, killedBy) => {
      gone = true;
      if (group !== undefined) runningGroups.delete(group);
      if (status === 0) {
        resolve(null);
        return;
      }
      // Its last words may still be in the pipe; a grandchild that keeps the pipe open must not be waited for.
      const tell = () => {
        const lastWords = cleanWords(said, plan.secrets);
        const how = killedBy === null ? `failed with exit status ${status}` : `was killed by ${killedBy}`;
        resolve(
          new CodedError('SOURCE_FAILED', `${plan.label} ${how}${lastWords === '' ? '' : `: ${lastWords}`}`, {
            context: { exitStatus: status, signal: killedBy, lastWords },
          }),
        );
      };
      if (child.stderr?.closed === true) tell();
      else child.stderr?.once('close', tell);
      setTimeout(tell, stderrWaitMs).unref();
    });
  });
  const killGroup = () => {
    if (group === undefined) return;
    // The leader's group lives on while any member does: end those too, also after the leader's own exit.
    if (!sendToGroup(group, 'SIGTERM') || gone) return;
    setTimeout(() => {
      if (!gone) sendToGroup(group, 'SIGKILL');
    }, killDelayMs).unref();
  };
  return { exited, killGroup };
}

/** A daemon that ends in an orderly way leaves no dump behind; after kill -9 a broken pipe ends it. */
function endGroupsWithProgram(): void {
  if (exitHookSet) return;
  exitHookSet = true;
  process.on('exit', () => {
    for (const group of runningGroups) sendToGroup(group, 'SIGTERM');
  });
}

function sendToGroup(group: number, signal: 'SIGTERM' | 'SIGKILL'): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false;
  }
}

function cleanWords(said: Buffer, secrets: readonly string[]): string {
  let text = said.toString('utf8');
  for (const secret of secrets) if (secret !== '') text = text.replaceAll(secret, '[secret]');
  return text
    .slice(-lastWordsBytesMax)
    .replaceAll(/[^\P{Cc}\n\t]/gu, '')
    .trim();
}

let priorityWords: readonly string[] | null = null;

/** `nice 19`, and the last place of best-effort I/O where the machine has ionice. Idle I/O could starve for hours, snapshot open. */
function lowPriority(): readonly string[] {
  priorityWords ??= [
    ...wordsThatWork(['nice', '-n', '19']),
    ...wordsThatWork(['ionice', '-c', '2', '-n', '7']),
  ];
  return priorityWords;
}

let bufferWords: readonly string[] | null = null;

/** pg_dump writes 4 KiB at a time into a pipe: a system call on both sides for each costs a tenth of a dump's time. */
function largeBuffer(): readonly string[] {
  bufferWords ??= wordsThatWork(['stdbuf', '-o', '65536']);
  return bufferWords;
}

/** Words to put in front of a command; none where this machine does not have that program. */
function wordsThatWork(words: readonly string[]): readonly string[] {
  return spawnSync(words[0] as string, [...words.slice(1), 'true']).status === 0 ? words : [];
}

async function openOutput(plan: ProcessPlan): Promise<ProgramOutput> {
  try {
    return await ProgramOutput.open();
  } catch (error) {
    throw unreadable(plan, error);
  }
}

/** The program's end of `output` is its own from here on, also where it cannot be started. */
function start(plan: ProcessPlan, argv: readonly string[], output: ProgramOutput): ChildProcess {
  try {
    return spawn(argv[0] as string, argv.slice(1), {
      env: { ...process.env, ...plan.environment },
      detached: true,
      stdio: [plan.input === null ? 'ignore' : 'pipe', output.programEnd, 'pipe'],
    });
  } catch (error) {
    throw notStarted(plan, error as Error);
  } finally {
    output.handOver();
  }
}

function notStarted(plan: ProcessPlan, cause: Error): CodedError {
  return new CodedError('SOURCE_FAILED', `${plan.label} cannot be started: ${cause.message}`, { cause });
}

function unreadable(plan: ProcessPlan, cause: unknown): CodedError {
  return new CodedError('SOURCE_FAILED', `the output of ${plan.label} cannot be read`, { cause });
}

function cancelled(plan: ProcessPlan): CodedError {
  return new CodedError('SOURCE_FAILED', `${plan.label} was cancelled`);
}

function formatDuration(ms: number): string {
  return ms >= 60_000 ? `${Math.round(ms / 60_000)} minutes` : `${ms / 1000} s`;
}
