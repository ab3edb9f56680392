import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { CodedError, isCoded, systemErrorCode } from '../errors/coded-error.ts';
import { errorTable, type ErrorCode } from '../errors/error-table.ts';
import { lockHome, type HomeLock } from './home-lock.ts';
import type { Home } from './home.ts';
import { openSocketPath } from './socket-path.ts';

// Without `import`, which would also load all that `fetch` consists of.
const http = process.getBuiltinModule('node:http');

const answerSchema = z.union([
  z.object({ result: z.unknown() }).strict(),
  z.object({ error: z.object({ code: z.string(), message: z.string(), hint: z.string().nullable() }) }),
]);

/**
 * Asks the running program to do `command`; waits as long as it takes.
 * @throws CodedError NOT_RUNNING when nothing listens or the program stopped meanwhile, else what the program answered
 */
export async function callControl(home: Home, command: string, body: object): Promise<unknown> {
  const answer = answerSchema.parse(JSON.parse(await post(home, command, JSON.stringify(body))));
  if ('result' in answer) return answer.result;
  const { code, message, hint } = answer.error;
  const known = code in errorTable ? (code as ErrorCode) : 'INTERNAL';
  throw new CodedError(known, message, hint === null ? {} : { hint });
}

/** Commands of these names, each done by the program that runs on `home`. */
export function controlCommands<Commands extends Record<keyof Commands, unknown>>(
  home: Home,
  names: Record<keyof Commands & string, unknown>,
): Commands {
  const calls = Object.keys(names).map((name) => [
    name,
    async (input: object) => callControl(home, name, input),
  ]);
  return Object.fromEntries(calls) as Commands;
}

const startingPatienceMs = 15_000;
const lockPatienceMs = 250;

/**
 * Finds out who answers for this home: the running program (`null` is returned), or nobody, and then this process
 * holds the lock. A program that is starting, or another command at work, is waited for.
 * @throws CodedError ALREADY_RUNNING when somebody holds the home and does not answer
 */
export async function findProgram(home: Home, program: string): Promise<HomeLock | null> {
  const deadline = performance.now() + startingPatienceMs;
  for (;;) {
    if (await answers(home)) return null;
    try {
      return lockHome(home, program, lockPatienceMs);
    } catch (error) {
      if (!isCoded(error, 'ALREADY_RUNNING') || performance.now() > deadline) throw error;
    }
  }
}

async function answers(home: Home): Promise<boolean> {
  try {
    await callControl(home, 'about', {});
    return true;
  } catch (error) {
    if (isCoded(error, 'NOT_RUNNING')) return false;
    throw error;
  }
}

async function post(home: Home, command: string, body: string): Promise<string> {
  const notRunning = (cause: unknown): CodedError =>
    new CodedError('NOT_RUNNING', `nothing runs on ${home.directory}`, { cause });
  let socketPath: { path: string; release: () => void };
  try {
    socketPath = openSocketPath(home.directory, home.socketName);
  } catch (error) {
    throw notRunning(error);
  }
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = http.request(
        {
          socketPath: socketPath.path,
          path: `/v1/${command}`,
          method: 'POST',
          agent: false,
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        },
        resolve,
      );
      request.once('error', reject);
      request.end(body);
    });
    return await text(response);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EACCES' || code === 'EPERM') {
      throw new CodedError('HOME_INVALID', `the control socket in ${home.directory} is closed to this user`, {
        hint: 'run the command as the user of the program, or as root',
        cause: error,
      });
    }
    throw notRunning(error);
  } finally {
    socketPath.release();
  }
}
