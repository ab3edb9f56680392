import type Database from 'better-sqlite3';
import type { PackArrivals } from '../guard/pack-surge.ts';
import { databaseError } from './index-errors.ts';

/** Packs sort between these names. A window that is below 0 is the one after `until`. */
const query = `
  SELECT CASE WHEN received_at > @until THEN -1 ELSE CAST((@until - received_at) / @windowMs AS INTEGER) END AS passed,
    sum(size) AS bytes
  FROM live WHERE path > CAST('packs/' AS BLOB) AND path < CAST('packs0' AS BLOB) AND kind = 0
  GROUP BY passed ORDER BY passed`;

/** What is held of packs that came after `until` (ms, the folder's own clock), and in the windows before; reads a row for each pack. */
export function packArrivals(
  database: Database.Database,
  window: { until: number; windowMs: number },
): PackArrivals {
  try {
    const rows = database.prepare(query).all(window) as { passed: number; bytes: number }[];
    const received = rows.find(({ passed }) => passed < 0)?.bytes ?? 0;
    return { received, earlier: rows.flatMap(({ passed, bytes }) => (passed < 0 ? [] : [bytes])) };
  } catch (error) {
    throw databaseError(error);
  }
}
