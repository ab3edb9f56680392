import fs from 'node:fs';
import path from 'node:path';
import { fastify, type FastifyReply } from 'fastify';
import { CodedError, isCoded } from '../errors/coded-error.ts';
import type { ControlRoute } from './control-route.ts';
import { giveToHomeOwner, type Home } from './home.ts';
import type { Logger } from './logger.ts';
import { openSocketPath } from './socket-path.ts';

export type ControlServer = {
  /** Answers what is still being waited for with NOT_RUNNING, then removes the socket; idempotent. */
  close(): Promise<void>;
};

const bodyBytesMax = 64 * 1024;
const closingGraceMs = 500;

/**
 * Listens on the home's control socket (0600) for the commands of this program: `POST /v1/<command>` with a JSON body.
 * The caller holds the home's lock, so a socket file that exists is stale and is replaced.
 */
export async function startControlServer(deps: {
  home: Home;
  routes: Readonly<Record<string, ControlRoute>>;
  logger: Logger;
}): Promise<ControlServer> {
  const { home, routes, logger } = deps;
  const socketFile = path.join(home.directory, home.socketName);
  const stopping = new AbortController();
  const pending = new Set<Promise<unknown>>();
  const server = fastify({ logger: false, bodyLimit: bodyBytesMax, forceCloseConnections: true });

  for (const [name, route] of Object.entries(routes)) {
    server.post(`/v1/${name}`, async (request, reply) => {
      const signal = AbortSignal.any([stopping.signal, callerGone(reply)]);
      const answer = answerTo(route(request.body, signal), signal, reply, (error) => {
        logger.error({ command: name, error }, 'a command failed unexpectedly');
      });
      pending.add(answer);
      await answer.finally(() => pending.delete(answer));
      return reply;
    });
  }

  fs.rmSync(socketFile, { force: true });
  const socketPath = openSocketPath(home.directory, home.socketName);
  try {
    await server.listen({ path: socketPath.path });
  } catch (error) {
    socketPath.release();
    throw error;
  }
  // Nobody else can enter the home (0700) in between.
  fs.chmodSync(socketFile, 0o600);
  giveToHomeOwner(home, socketFile);
  return {
    close: async () => {
      if (stopping.signal.aborted) return;
      stopping.abort(new CodedError('NOT_RUNNING', 'the program is being stopped'));
      await Promise.race([Promise.allSettled(pending), wait(closingGraceMs)]);
      await server.close();
      socketPath.release();
      fs.rmSync(socketFile, { force: true });
    },
  };
}

function callerGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) gone.abort(new CodedError('LINK_CLOSED', 'the command was interrupted'));
  });
  return gone.signal;
}

async function answerTo(
  result: Promise<unknown>,
  signal: AbortSignal,
  reply: FastifyReply,
  report: (error: unknown) => void,
): Promise<void> {
  try {
    const value = await Promise.race([result, abortOf(signal)]);
    await reply.send({ result: value ?? null });
  } catch (error) {
    if (!isCoded(error)) report(error);
    const coded = isCoded(error) ? error : new CodedError('INTERNAL', String(error));
    await reply.code(400).send({ error: { code: coded.code, message: coded.message, hint: coded.hint } });
  }
}

async function abortOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (): void => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

async function wait(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs).unref();
  });
}
