import { parentPort, workerData } from 'node:worker_threads';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import type { Logger } from '../../shared/io/logger.ts';
import { giveBackIdleMemory } from '../../shared/io/idle-memory.ts';
import { isDamage } from '../../shared/io/schema-database.ts';
import { lowerThreadPriority } from '../../shared/io/thread-priority.ts';
import { openIndexDatabase } from '../index/index-database.ts';
import { systemClock } from './clock.ts';
import { IndexerCore } from './indexer-core.ts';
import type { IndexerError, IndexerEvent, IndexerRequest, IndexerWorkerData } from './indexer-message.ts';
import { createThreadedWatcher } from './threaded-watcher.ts';

/** The entry of the indexing thread: the only writer of the agent's index. */
function runIndexer(
  port: NonNullable<typeof parentPort>,
  { databaseFile, options }: IndexerWorkerData,
): void {
  const post = (event: IndexerEvent) => port.postMessage(event);
  giveBackIdleMemory();
  let database: ReturnType<typeof openIndexDatabase>;
  try {
    database = openIndexDatabase(databaseFile);
  } catch (error) {
    post({ type: 'unusable', error: describeError(error) });
    return;
  }
  const core = new IndexerCore(
    {
      database,
      clock: systemClock,
      logger: forwardingLogger(post, {}),
      createWatcher: createThreadedWatcher,
      onChange: (folderId) => post({ type: 'changed', folderId }),
      onCondition: (folderId, condition) => post({ type: 'condition', folderId, condition }),
      onDefect: (error) => {
        if (!isDamage(error)) throw error;
        post({ type: 'unusable', error: { code: 'DATABASE_CORRUPT', message: String(error), hint: null } });
      },
    },
    options,
  );
  const serve = async ({ id, command }: IndexerRequest): Promise<void> => {
    try {
      const answer = await core.execute(command);
      if (command.type === 'stop') database.close();
      if (id !== null) post({ type: 'reply', id, answer });
      if (command.type === 'stop') port.close();
    } catch (error) {
      if (id !== null) post({ type: 'failure', id, error: describeError(error) });
    }
  };
  port.on('message', (request: IndexerRequest) => void serve(request));
  post({ type: 'ready' });
}

function describeError(error: unknown): IndexerError {
  if (error instanceof CodedError) return { code: error.code, message: error.message, hint: error.hint };
  const code = systemErrorCode(error) === null ? 'INTERNAL' : 'DISK_FAILED';
  return { code, message: String(error), hint: null };
}

/** Log lines go to the main thread, which owns the output. */
function forwardingLogger(post: (event: IndexerEvent) => void, bound: Record<string, unknown>): Logger {
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') => (fields: Record<string, unknown>, message: string) => {
      post({ type: 'log', level, fields: { ...bound, ...fields }, message });
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => forwardingLogger(post, { ...bound, ...fields }),
  };
}

if (parentPort !== null) {
  // a little: on a machine that is never idle new files are still to be found soon
  lowerThreadPriority(5);
  runIndexer(parentPort, workerData as IndexerWorkerData);
}
