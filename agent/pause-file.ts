import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { syncDirectory, writeFileAtomic } from '../shared/io/atomic-file.ts';
import type { Home } from '../shared/io/home.ts';

/** A pause; `untilMs` is null when it lasts until `resume`. */
export type Pause = { untilMs: number | null };

const pauseSchema = z.object({ until: z.iso.datetime().nullable() });

/** The pause that holds at `nowMs`, or null. It survives restarts; a file that cannot be understood is no pause. */
export function readPause(home: Home, nowMs: number): Pause | null {
  try {
    const { until } = pauseSchema.parse(JSON.parse(fs.readFileSync(pauseFile(home), 'utf8')));
    const untilMs = until === null ? null : Date.parse(until);
    return untilMs !== null && untilMs <= nowMs ? null : { untilMs };
  } catch {
    return null;
  }
}

/** Durable when it returns. */
export function writePause(home: Home, pause: Pause): void {
  const until = pause.untilMs === null ? null : new Date(pause.untilMs).toISOString();
  writeFileAtomic(pauseFile(home), `${JSON.stringify({ until })}\n`);
}

/** Durable when it returns. */
export function removePause(home: Home): void {
  fs.rmSync(pauseFile(home), { force: true });
  syncDirectory(home.directory);
}

function pauseFile(home: Home): string {
  return path.join(home.directory, 'pause.json');
}
