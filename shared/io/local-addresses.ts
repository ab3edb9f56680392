import os from 'node:os';

/** The addresses of this machine that another one may reach: no loopback, no link-local, IPv4 first. */
export function localAddresses(): string[] {
  const found = Object.values(os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => !address.internal && !isLinkLocal(address.address));
  const ofFamily = (family: string): string[] =>
    found.filter((address) => address.family === family).map((address) => address.address);
  return [...ofFamily('IPv4'), ...ofFamily('IPv6')];
}

function isLinkLocal(address: string): boolean {
  return address.toLowerCase().startsWith('fe80:') || address.startsWith('169.254.');
}

/** Whether the kernel has IPv6 at all; loopback alone counts. */
export function hasIpv6(): boolean {
  return Object.values(os.networkInterfaces()).some((addresses) =>
    addresses?.some(({ family }) => family === 'IPv6'),
  );
}
