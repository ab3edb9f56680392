import { expect, it } from 'vitest';
import { advertisedAddresses } from '../../shared/link/advertised-addresses.ts';

const machine = ['192.0.2.7', '2001:db8::7'];

it('carries what the configuration names and nothing else', () => {
  const named = [{ host: 'example.org', port: 443 }];
  expect(advertisedAddresses(named, [{ host: '::', port: 1 }], machine)).toEqual(named);
});

it('carries the addresses of the machine where the program listens on every address', () => {
  expect(advertisedAddresses([], [{ host: '::', port: 5 }], machine)).toEqual([
    { host: '192.0.2.7', port: 5 },
    { host: '2001:db8::7', port: 5 },
  ]);
  expect(advertisedAddresses([], [{ host: '0.0.0.0', port: 5 }], machine)).toEqual([
    { host: '192.0.2.7', port: 5 },
  ]);
});

it('carries a single address as it is, loopback too, and each only once', () => {
  const loopback = { host: '127.0.0.1', port: 5 };
  expect(advertisedAddresses([], [loopback, loopback], machine)).toEqual([loopback]);
  expect(advertisedAddresses([], [], machine)).toEqual([]);
});
