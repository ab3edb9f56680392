import { CodedError } from '../../shared/errors/coded-error.ts';
import { formatCompleteness } from '../../shared/cli/point-listing.ts';
import { formatMoment } from './moment.ts';
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

/**
 * The complete point that the receiver got last by that moment of its own clock, of those that came at once the one that
 * was made last; null: there is none. When it was made is what the server says, which may be wrong or in wrong hands: it
 * decides nothing.
 */
export function pointBefore(points: readonly OfferedPoint[], atMs: number): OfferedPoint | null {
  const before = points.filter(({ complete, receivedAt }) => complete && receivedAt <= atMs);
  const latestFirst = (a: OfferedPoint, b: OfferedPoint): number =>
    b.receivedAt - a.receivedAt || b.record.number - a.record.number;
  return before.toSorted(latestFirst)[0] ?? null;
}

/** A point in one line, for people: made by the server's clock, received by the receiver's. */
export function describePoint(point: OfferedPoint): string {
  const { id, record, receivedAt, pin } = point;
  const label = pin === null ? '' : `, pinned: ${pin}`;
  const times = `made ${formatMoment(Date.parse(record.createdAt))}, received ${formatMoment(receivedAt)}`;
  return `restore point ${id}, ${times}, ${formatCompleteness(point)}${label}`;
}
