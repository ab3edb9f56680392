import { spawn } from 'node:child_process';

type ProgramRun = { exitCode: number | null; stdout: Buffer; stderr: string };

/** Runs a program with `input` on its standard input and gives all it printed, at most `outputBytesMax`. */
export type RunProgram = (
  command: string,
  args: readonly string[],
  options: { input: Uint8Array; outputBytesMax: number },
) => Promise<ProgramRun>;

const stderrBytesMax = 64 * 1024;

/**
 * Resolves when the program has ended and its output is read; a program that prints more than allowed is killed (its
 * exit code is null then). Rejects only when it cannot be started.
 */
export const runProgram: RunProgram = async (command, args, { input, outputBytesMax }) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const stdout: Buffer[] = [];
    let stdoutBytes = 0;
    let stderr = '';
    child.stdout.on('data', (piece: Buffer) => {
      stdoutBytes += piece.length;
      if (stdoutBytes > outputBytesMax) child.kill('SIGKILL');
      else stdout.push(piece);
    });
    child.stderr.on('data', (piece: Buffer) => {
      if (stderr.length < stderrBytesMax) stderr += piece.toString('utf8');
    });
    child.once('error', reject);
    child.once('close', (exitCode) => {
      resolve({ exitCode, stdout: Buffer.concat(stdout), stderr });
    });
    // a program may end before it has read everything: its exit code tells, not the broken pipe
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
