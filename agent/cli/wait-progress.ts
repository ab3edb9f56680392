import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { shortenDeviceIds } from '../../shared/cli/device-name.ts';
import type { AgentStatus } from '../agent-commands.ts';
import { describeObstacles } from '../describe-obstacles.ts';

/** Writes how far the copies are, and what is in the way, when that has changed. The result ends it. */
export function showWaitProgress(
  deps: { status(): Promise<AgentStatus>; write(line: string): void },
  options: { intervalMs: number },
): () => void {
  let shown = '';
  let asking = false;
  let over = false;
  const show = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    try {
      const lines = formatWaiting(await deps.status()).join('\n');
      if (!over && lines !== '' && lines !== shown) deps.write(`${lines}\n`);
      shown = lines;
    } catch {
      // the program is stopping; what waits for it says so
    } finally {
      asking = false;
    }
  };
  const timer = setInterval(() => void show(), options.intervalMs);
  return () => {
    over = true;
    clearInterval(timer);
  };
}

/** For people: what is still to be done, a line each. */
export function formatWaiting(status: AgentStatus): string[] {
  const names = shortenDeviceIds(status.receivers.map(({ deviceId }) => deviceId));
  const scanning = status.folders.filter(({ state }) => state === 'scanning').map(({ id }) => id);
  const lacking = status.receivers.flatMap(({ deviceId, folders }) => {
    const files = folders.reduce((sum, { lagFiles }) => sum + lagFiles, 0);
    const bytes = folders.reduce((sum, { lagBytes }) => sum + lagBytes, 0);
    const name = names.get(deviceId) ?? deviceId;
    return files === 0
      ? []
      : [`missing on ${name}: ${files} ${files === 1 ? 'file' : 'files'}, ${formatByteSize(bytes)}`];
  });
  return [
    ...(scanning.length > 0 ? [`scanning ${scanning.join(', ')}`] : []),
    ...lacking,
    ...describeObstacles(status),
  ];
}
