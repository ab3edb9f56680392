import type { AnnouncedPoints } from '../../agent/serve/announced-points.ts';

/** An agent that makes no restore points. */
export const noPoints: AnnouncedPoints = {
  nextFor: () => null,
  answered: () => {},
  onChange: () => () => {},
};
