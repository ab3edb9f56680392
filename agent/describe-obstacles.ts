import { shortenDeviceIds } from '../shared/cli/device-name.ts';
import type { AgentStatus } from './agent-commands.ts';

/** For people: what keeps copies from being made now. What a receiver refuses is among the alarms. */
export function describeObstacles({ paused, receivers, alarms }: AgentStatus): string[] {
  const names = shortenDeviceIds(receivers.map(({ deviceId }) => deviceId));
  const away = receivers.filter(({ connected }) => !connected);
  return [
    ...(paused ? ['the agent is paused: "mastokeep-agent resume" ends that'] : []),
    ...alarms.map(({ code, message }) => `${code}: ${message}`),
    ...away.map(({ deviceId }) => `receiver ${names.get(deviceId) ?? deviceId} is not connected`),
    ...receivers.flatMap(({ deviceId, connected, folders }) =>
      folders
        .filter(({ lagFiles, lacksVersion }) => connected && lagFiles === 0 && lacksVersion)
        .map(
          ({ id }) =>
            `receiver ${names.get(deviceId) ?? deviceId} lacks the latest version of ${id}: "mastokeep-agent dump" seals it anew`,
        ),
    ),
    ...(receivers.length === 0
      ? ['no receiver is paired: "mastokeep-agent invite" makes an invitation']
      : []),
  ];
}
