import type { Address } from './address.ts';

/** Where to listen on this machine: "every address" means IPv4 only where the machine has no IPv6. */
export function listenAddresses(configured: readonly Address[], hasIpv6: boolean): Address[] {
  return configured.map(({ host, port }) => ({ host: host === '::' && !hasIpv6 ? '0.0.0.0' : host, port }));
}
