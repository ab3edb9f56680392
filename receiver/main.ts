#!/usr/bin/env node
import { tuneGarbageCollection } from '../shared/io/garbage-collection.ts';
import { nodeVersionProblem } from '../shared/node-version.ts';

const problem = nodeVersionProblem(process.versions.node, 'mastokeep-receiver');
if (problem === null) {
  tuneGarbageCollection();
  // Syncs wait for the disk in libuv's pool: with its 4 threads, a batch of small files takes turns. Read at first use.
  process.env['UV_THREADPOOL_SIZE'] ??= '16';
  // Loaded only now: what it imports cannot be loaded by an older Node.js.
  const { runReceiverProgram } = await import('./cli/program.ts');
  await runReceiverProgram(process.argv);
} else {
  process.stderr.write(problem);
  process.exitCode = 2;
}
