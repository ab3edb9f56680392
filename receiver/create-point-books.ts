import path from 'node:path';
import type { Logger } from '../shared/io/logger.ts';
import { nodeDisk } from '../shared/io/node-disk.ts';
import type { AgentCopies } from './agent-copies.ts';
import { PointBooks } from './point-books.ts';
import { KeptClock } from './retention/kept-clock.ts';

/** The restore points in a data directory, and the clock by which their age is counted. */
export function createPointBooks(
  { copies, logger }: { copies: AgentCopies; logger: Logger },
  { dataDirectory }: { dataDirectory: string },
): { points: PointBooks; clock: KeptClock } {
  const now = (): number => Date.now();
  const steadyNow = (): number => performance.now();
  const clock = new KeptClock(
    { wallNow: now, steadyNow },
    { file: path.join(dataDirectory, 'retention-clock.json') },
  );
  const retentionNow = (): number => clock.nowMs();
  const points = new PointBooks({
    copies,
    dataDirectory,
    disk: nodeDisk,
    retentionNow,
    now,
    steadyNow,
    logger,
  });
  return { points, clock };
}
