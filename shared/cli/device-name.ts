/** The beginnings by which people tell devices apart: the first group, or as many as it takes among `deviceIds`. */
export function shortenDeviceIds(deviceIds: readonly string[]): ReadonlyMap<string, string> {
  const all = [...new Set(deviceIds)];
  return new Map(all.map((deviceId) => [deviceId, shortest(deviceId, all)]));
}

function shortest(deviceId: string, all: readonly string[]): string {
  const groups = deviceId.split('-');
  for (let count = 1; count < groups.length; count += 1) {
    const beginning = groups.slice(0, count).join('-');
    if (!all.some((other) => other !== deviceId && other.startsWith(beginning))) return beginning;
  }
  return deviceId;
}
