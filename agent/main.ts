#!/usr/bin/env node
import { tuneGarbageCollection } from '../shared/io/garbage-collection.ts';
import { nodeVersionProblem } from '../shared/node-version.ts';

const problem = nodeVersionProblem(process.versions.node, 'mastokeep-agent');
if (problem === null) {
  tuneGarbageCollection();
  // Loaded only now: what it imports cannot be loaded by an older Node.js.
  const { runAgentProgram } = await import('./cli/program.ts');
  await runAgentProgram(process.argv);
} else {
  process.stderr.write(problem);
  process.exitCode = 2;
}
