import fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatAddress, parseAddress } from '../../shared/link/address.ts';

it.each([
  ['192.0.2.7:1234', '192.0.2.7', 1234],
  ['192.0.2.7', '192.0.2.7', 22390],
  ['[2001:db8::7]:1234', '2001:db8::7', 1234],
  ['[::1]', '::1', 22390],
  ['::1', '::1', 22390],
  ['[fe80::1%eth0]:1', 'fe80::1%eth0', 1],
  ['localhost:0', 'localhost', 0],
  [' backup.example.org:22390\n', 'backup.example.org', 22390],
  ['nas', 'nas', 22390],
  ['nas_2.fritz.box.', 'nas_2.fritz.box.', 22390],
])('reads %j', (text, host, port) => {
  expect(parseAddress(text)).toEqual({ host, port });
});

it.each([
  '',
  ':1234',
  'nas:',
  'nas:port',
  'nas:65536',
  'nas:-1',
  'nas:1234:5',
  '2001:db8::7:1234:1:2:3:4:5',
  '[192.0.2.7]:1',
  '[::1',
  '[::1]1',
  '300.1.2.3',
  '1.2.3',
  'a b',
  'https://nas',
  'user@nas',
  'nas/path',
  '-nas',
  'ä',
  `${'a'.repeat(64)}.org`,
  `${'a.'.repeat(127)}a`,
])('refuses %j', (text) => {
  expect(() => parseAddress(text)).toThrowError(expect.objectContaining({ code: 'ADDRESS_INVALID' }));
});

it('reads what it wrote', () => {
  const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
  fc.assert(
    fc.property(host, fc.nat(65_535), (host, port) => {
      expect(parseAddress(formatAddress({ host, port }))).toEqual({ host, port });
    }),
  );
});

it('never takes long or throws anything else, whatever the text', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 400 }), (text) => {
      try {
        parseAddress(text);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ADDRESS_INVALID' });
      }
    }),
  );
});
