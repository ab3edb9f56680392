import { expect, it } from 'vitest';
import { AgentPause } from '../../../agent/agent-pause.ts';

function recordedPause(): { pause: AgentPause; told: string[]; ended: Promise<void> } {
  const told: string[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const pause = new AgentPause({
    begin: async () => void told.push('begin'),
    end: async () => {
      told.push('end');
      resolve();
    },
    now: () => 1_000_000,
  });
  return { pause, told, ended };
}

it('ends by itself when its time has come', async () => {
  const { pause, told, ended } = recordedPause();
  await pause.set({ untilMs: 1_000_005 });
  expect(pause.current).toEqual({ untilMs: 1_000_005 });
  await ended;
  expect(told).toEqual(['begin', 'end']);
  expect(pause.current).toBe(null);
});

it('begins once however often its end is changed, and ends once', async () => {
  const { pause, told } = recordedPause();
  for (const untilMs of [1_100_000, 9_000_000_000, null]) await pause.set({ untilMs });
  expect(told).toEqual(['begin']);
  await pause.set(null);
  await pause.set(null);
  expect(told).toEqual(['begin', 'end']);
});
