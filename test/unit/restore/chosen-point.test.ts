import { expect, it } from 'vitest';
import { describePoint, pointBefore } from '../../../agent/restore/chosen-point.ts';
import type { OfferedPoint } from '../../../agent/restore/offered-points.ts';
import { parsePointRecord } from '../../../shared/sealing/point-record.ts';
import { PointSigner } from '../../support/point-fixture.ts';

const signer = new PointSigner();

/** Hours of one day: when the server says that it was made, and when the receiver got it. */
function offered(number: number, made: number, received: number, complete = true): OfferedPoint {
  const hour = (hours: number): string => `2026-11-21T${String(hours).padStart(2, '0')}:00:00.000Z`;
  const { id, record } = signer.point(number, { createdAt: hour(made) });
  return {
    id,
    record: parsePointRecord(record),
    receivedAt: Date.parse(hour(received)),
    pin: null,
    complete,
    incompleteFiles: complete ? 0 : 1,
    parts: [],
  };
}

const chosenAt = (hour: number, ...points: OfferedPoint[]): number | undefined =>
  pointBefore(points, Date.UTC(2026, 10, 21, hour))?.record.number;

it('takes of a moment the complete point that the receiver had got last by then', () => {
  const points = [offered(1, 1, 1), offered(2, 2, 3), offered(3, 4, 4, false)];
  expect(chosenAt(0, ...points)).toBeUndefined();
  expect(chosenAt(2, ...points)).toBe(1);
  expect(chosenAt(3, ...points)).toBe(2);
  expect(chosenAt(5, ...points.toReversed())).toBe(2);
});

it('believes nothing that a server says of the time: neither a point put into the past nor one of the future', () => {
  const backDated = offered(7, 2, 9);
  expect(chosenAt(5, offered(1, 1, 1), backDated)).toBe(1);
  const clockAhead = offered(2, 23, 2);
  expect(chosenAt(5, offered(1, 1, 1), clockAhead)).toBe(2);
});

it('takes of points that came at once the one that was made last', () => {
  const points = [offered(3, 3, 6), offered(5, 1, 6), offered(4, 4, 6)];
  expect(chosenAt(7, ...points)).toBe(5);
});

it('is shown with both of its times', () => {
  expect(describePoint(offered(1, 8, 11))).toMatch(
    /^restore point \S+, made 2026-11-21T08:00:00Z, received 2026-11-21T11:00:00Z, complete$/,
  );
});
