import fc from 'fast-check';
import { expect, it } from 'vitest';
import { deviceIdFromBytes } from '../../shared/identity/device-id.ts';
import { formatAddress } from '../../shared/link/address.ts';
import { formatInvitation, parseInvitation, type Invitation } from '../../shared/link/invitation.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const deviceId = bytes(32).map(deviceIdFromBytes);
const address = fc
  .tuple(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), fc.integer({ min: 1, max: 65_535 }))
  .map(([host, port]) => formatAddress({ host, port }));
const invitation: fc.Arbitrary<Invitation> = fc.record({
  inviter: fc.constantFrom('agent', 'receiver', 'restorer'),
  deviceId,
  addresses: fc.array(address, { minLength: 1, maxLength: 8 }),
  offer: fc.oneof(
    fc.constant({ role: 'replica' } as const),
    fc.record({ role: fc.constant('restore' as const), agentId: fc.option(deviceId) }),
  ),
  secret: bytes(16).map((secret) => Buffer.from(secret)),
  expiresAt: fc.nat(0xffffffff).map((seconds) => seconds * 1000),
});

const invalid = expect.objectContaining({ code: 'INVITATION_INVALID' }) as unknown;

it('comes back as it was, also with white space that a terminal put in', () => {
  fc.assert(
    fc.property(invitation, fc.nat(100), (original, position) => {
      const text = formatInvitation(original);
      expect(text).toMatch(/^mastokeep1-[\w-]+$/);
      expect(parseInvitation(text)).toEqual(original);
      expect(parseInvitation(`  ${text.slice(0, position)}\n ${text.slice(position)}\r\n`)).toEqual(original);
    }),
  );
});

it('is refused when it was cut off anywhere', () => {
  fc.assert(
    fc.property(invitation, fc.nat(), (original, cut) => {
      const text = formatInvitation(original);
      expect(() => parseInvitation(text.slice(0, cut % text.length))).toThrowError(invalid);
    }),
  );
});

it('is said to be cut off where it is, at whatever character', () => {
  fc.assert(
    fc.property(invitation, fc.nat(), (original, cut) => {
      const text = formatInvitation(original);
      const left = text.slice(0, 'mastokeep1-'.length + (cut % (text.length - 'mastokeep1-'.length)));
      expect(() => parseInvitation(left)).toThrowError(/cut off or changed/);
    }),
  );
});

it('is refused when a character of it is another', () => {
  fc.assert(
    fc.property(
      invitation,
      fc.nat(),
      fc.constantFrom('A', 'z', '-', '_', '5', '*'),
      (original, at, letter) => {
        const text = formatInvitation(original);
        const position = at % text.length;
        fc.pre(text[position] !== letter);
        const changed = text.slice(0, position) + letter + text.slice(position + 1);
        expect(() => parseInvitation(changed)).toThrowError(invalid);
      },
    ),
  );
});

it.each(['', 'mastokeep1-', 'mastokeep1-AAAA', 'hello', 'mastokeep2-AAAAAAAA'])('is not %j', (text) => {
  expect(() => parseInvitation(text)).toThrowError(invalid);
});

it('stays one short line', () => {
  const id = deviceIdFromBytes(Buffer.alloc(32, 7));
  const text = formatInvitation({
    inviter: 'receiver',
    deviceId: id,
    addresses: ['nas.example.org:22390', '[2001:db8::7]:22390'],
    offer: { role: 'restore', agentId: id },
    secret: Buffer.alloc(16),
    expiresAt: 1_795_000_000_000,
  });
  expect(text.length).toBeLessThan(250);
});
