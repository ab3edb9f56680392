import type { RestorePoints } from '../../receiver/serve/restore-history.ts';

/** A receiver that holds no restore point. */
export const noHeldPoints: RestorePoints = {
  lacking: async () => ({ paths: [], next: null }),
  page: async () => ({ agentKey: null, points: [], next: null }),
};
