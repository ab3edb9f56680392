import { CodedError } from '../../shared/errors/coded-error.ts';
import { formatCompleteness } from '../../shared/cli/point-listing.ts';
import type { OfferedPoint } from './offered-points.ts';

/** Whether the words can only be the name of a restore point: a day without dashes, and whatever follows. */
export function isPointName(words: string): boolean {
  return /^\d{8}(-[0-9a-f]{0,6}(-[0-9a-f]{0,8})?)?$/.test(words.trim());
}

/** The point that a name stands for: whole, or its beginning where no other begins so. @throws CodedError POINT_UNKNOWN */
export function findPoint(points: readonly OfferedPoint[], name: string): OfferedPoint {
  const matching = points.filter(({ id }) => id.startsWith(name.trim()));
  const [only, ...more] = matching;
  if (only !== undefined && more.length === 0) return only;
  if (only === undefined) {
    throw new CodedError('POINT_UNKNOWN', `the receiver holds no restore point "${name}"`, {
      hint: '"mastokeep-agent points" with the same --from lists those that it holds',
    });
  }
  throw new CodedError(
    'POINT_UNKNOWN',
    `"${name}" may be ${matching
      .slice(0, 3)
      .map(({ id }) => id)
      .join(', ')}`,
    {
      hint: 'write more of it',
    },
  );
}

/** The newest complete point that was begun at that moment or before; null: there is none. */
export function pointBefore(points: readonly OfferedPoint[], atMs: number): OfferedPoint | null {
  const before = points.filter(({ complete, record }) => complete && Date.parse(record.createdAt) <= atMs);
  return before.reduce<OfferedPoint | null>(
    (newest, point) =>
      newest === null || Date.parse(point.record.createdAt) >= Date.parse(newest.record.createdAt)
        ? point
        : newest,
    null,
  );
}

/** A point in one line, for people. */
export function describePoint(point: OfferedPoint): string {
  const { id, record, pin } = point;
  const label = pin === null ? '' : `, pinned: ${pin}`;
  return `restore point ${id} of ${record.createdAt.replace(/\.\d+Z$/, 'Z')}, ${formatCompleteness(point)}${label}`;
}
