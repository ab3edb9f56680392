import { parentPort } from 'node:worker_threads';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { batchFilesOn } from './batch-files.ts';
import type { BatchFilesAnswer, BatchFilesRequest, BatchFilesTask } from './batch-files-message.ts';
import { blockingDisk } from './blocking-disk.ts';

const files = batchFilesOn(blockingDisk());

async function carryOut(task: BatchFilesTask): Promise<boolean> {
  if (task.type === 'add') return files.add(task.additions);
  await files.syncContents(task.incoming, task.contents);
  return true;
}

async function answer({ id, task }: BatchFilesRequest): Promise<BatchFilesAnswer> {
  try {
    return { id, type: 'done', done: await carryOut(task) };
  } catch (error) {
    if (!isCoded(error))
      return { id, type: 'failed', code: 'INTERNAL', message: String(error), hint: null, context: {} };
    const { code, message, hint, context } = error;
    return { id, type: 'failed', code, message, hint, context };
  }
}

parentPort?.on('message', (request: BatchFilesRequest) => {
  void answer(request).then((told) => parentPort?.postMessage(told));
});
