import fs from 'node:fs';
import os from 'node:os';

/** `Nice=` of the agent's unit in README.md. */
const niceness = 5;

/** Gives a program the processor priority that its unit would; threads that are nicer stay so. */
export function lowerPriority(pid: number): void {
  for (const thread of fs.readdirSync(`/proc/${pid}/task`).map(Number))
    if (os.getPriority(thread) < niceness) os.setPriority(thread, niceness);
}
