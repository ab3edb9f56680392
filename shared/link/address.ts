import net from 'node:net';
import { CodedError } from '../errors/coded-error.ts';

/** `host`: a name, an IPv4 address, or an IPv6 address without brackets. */
export type Address = { host: string; port: number };

export const defaultPort = 22390;

const namePattern =
  /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/i;

/**
 * Reads `HOST:PORT`, `HOST`, `[IPv6]:PORT`, `[IPv6]` or a bare IPv6 address; without a port it is 22390.
 * Port 0 (any free one) is read as well: it makes sense for listening only.
 * @throws CodedError ADDRESS_INVALID
 */
export function parseAddress(text: string): Address {
  const trimmed = text.trim();
  if (net.isIPv6(trimmed)) return { host: trimmed, port: defaultPort };
  const bracketed = /^\[([^\]]*)\](?::(\d+))?$/.exec(trimmed);
  if (bracketed !== null) {
    const host = bracketed[1] ?? '';
    if (!net.isIPv6(host)) throw invalid(text, 'what stands in brackets is not an IPv6 address');
    return { host, port: parsePort(text, bracketed[2]) };
  }
  const plain = /^([^:]*)(?::(\d+))?$/.exec(trimmed);
  if (plain === null) throw invalid(text, 'an IPv6 address with a port needs brackets: [::1]:22390');
  const host = plain[1] ?? '';
  // digits and dots only: a name that no resolver should be asked for
  if (!net.isIPv4(host) && (/^[\d.]*$/.test(host) || !namePattern.test(host))) {
    throw invalid(text, 'the host is neither a name nor an IP address');
  }
  return { host, port: parsePort(text, plain[2]) };
}

/** The one text of an address: `HOST:PORT`, with brackets round an IPv6 address. */
export function formatAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

function parsePort(text: string, digits: string | undefined): number {
  if (digits === undefined) return defaultPort;
  const port = Number(digits);
  if (digits.length > 5 || port > 65_535) throw invalid(text, 'a port is at most 65535');
  return port;
}

function invalid(text: string, why: string): CodedError {
  return new CodedError('ADDRESS_INVALID', `address "${text.slice(0, 300)}" cannot be used: ${why}`, {
    hint: 'write HOST:PORT, such as backup.example.org:22390, 192.0.2.7:22390 or [2001:db8::7]:22390',
  });
}
