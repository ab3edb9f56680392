import { createHash, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deviceIdOfKey } from '../../shared/identity/device-id.ts';
import {
  encodePointRecord,
  parsePointRecord,
  pointId,
  verifyPointRecord,
  type PointRecord,
} from '../../shared/sealing/point-record.ts';
import { signRecord } from '../../shared/sealing/signed-record.ts';
import {
  encodeVersionRecord,
  verifyVersionRecord,
  type VersionRecord,
} from '../../shared/sealing/version-record.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const spki = publicKey.export({ type: 'spki', format: 'der' });
const agent = deviceIdOfKey(spki);
const forged: unknown = expect.objectContaining({ code: 'RECORD_FORGED' });
const invalid: unknown = expect.objectContaining({ code: 'RECORD_INVALID' });

const hex = (bytes: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((array) => Buffer.from(array).toString('hex'));
const sequence = fc.integer({ min: 0, max: 2 ** 40 });
const anyFolder = fc.oneof(
  fc
    .record({ kind: fc.constant('mirror' as const), index: hex(8), from: sequence, to: sequence })
    .map(({ kind, index, from, to }) => ({ kind, index, from: Math.min(from, to), to: Math.max(from, to) })),
  fc.record({
    kind: fc.constant('sealed' as const),
    epoch: hex(8),
    number: fc.integer({ min: 1, max: 9_999_999_999 }),
    record: hex(32),
  }),
);
const anyRecord: fc.Arbitrary<PointRecord> = fc
  .record({
    number: fc.integer({ min: 1, max: 9_999_999_999 }),
    createdAt: fc
      .date({ min: new Date('2020-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
      .map((date) => date.toISOString()),
    previous: fc.option(hex(32)),
    cause: fc.constantFrom('dump' as const, 'hourly' as const, 'asked' as const),
    pin: fc.option(fc.constantFrom('before the upgrade', 'état 4.4 🦣')),
    parts: fc.array(anyFolder, { minLength: 1, maxLength: 6 }),
  })
  .map(({ parts, number, createdAt, previous, cause, pin }) => ({
    number,
    createdAt,
    previous,
    cause,
    pin,
    agent,
    folders: parts.map((part, position) => ({ id: `folder-${position}`, ...part })),
  }));

const sample: PointRecord = {
  agent,
  number: 7,
  createdAt: '2026-11-21T08:40:00.000Z',
  previous: null,
  cause: 'dump',
  pin: null,
  folders: [
    { id: 'media', kind: 'mirror', index: '00000000000000ab', from: 10, to: 12 },
    { id: 'database', kind: 'sealed', epoch: '00000000000000cd', number: 3, record: 'ef'.repeat(32) },
  ],
};
const bytes = encodePointRecord(sample);

describe('a point record', () => {
  it('has one spelling, whatever it says', () => {
    expect(bytes.toString('utf8')).toBe(
      `{"agent":"${agent}","cause":"dump","createdAt":"2026-11-21T08:40:00.000Z","folders":[` +
        `{"from":10,"id":"media","index":"00000000000000ab","kind":"mirror","to":12},` +
        `{"epoch":"00000000000000cd","id":"database","kind":"sealed","number":3,"record":"${'ef'.repeat(32)}"}],` +
        `"label":"mastokeep-point-1","number":7,"pin":null,"previous":null}`,
    );
    fc.assert(
      fc.property(anyRecord, (record) => {
        const written = encodePointRecord(record);
        expect(parsePointRecord(written)).toEqual(record);
        expect(() => parsePointRecord(Buffer.concat([written, Buffer.from(' ')]))).toThrow(invalid);
      }),
    );
  });

  it('is named after its time and its content', () => {
    const hash = createHash('sha256').update(bytes).digest('hex');
    expect(pointId(sample, bytes)).toBe(`20261121-084000-${hash.slice(0, 8)}`);
  });

  it.each([
    ['no folder', { folders: [] }],
    ['a folder twice', { folders: [sample.folders[0], sample.folders[0]] }],
    ['an interval that ends before it begins', { folders: [{ ...sample.folders[0], from: 13 }] }],
    ['a folder id that climbs', { folders: [{ ...sample.folders[0], id: '..' }] }],
    ['a pin that breaks a line', { pin: 'a\nb' }],
    ['a pin without end', { pin: 'a'.repeat(101) }],
    ['a month that is none', { createdAt: '2026-13-21T08:40:00.000Z' }],
    ['a cause of its own', { cause: 'because' }],
    ['more than the format says', { extra: 1 }],
  ])('is refused with %s', (_what, change) => {
    expect(() => encodePointRecord({ ...sample, ...change } as PointRecord)).toThrow(invalid);
  });
});

describe('the signature of a point record', () => {
  const signature = signRecord(bytes, privateKey);

  it('proves the agent', () => {
    expect(verifyPointRecord(bytes, signature, spki)).toEqual(sample);
  });

  it('is of exactly these bytes and of the agent that they name', () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    expect(() => verifyPointRecord(bytes, signRecord(bytes, other.privateKey), spki)).toThrow(forged);
    const theirs = other.publicKey.export({ type: 'spki', format: 'der' });
    expect(() => verifyPointRecord(bytes, signRecord(bytes, other.privateKey), theirs)).toThrow(forged);
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        expect(() => verifyPointRecord(flipped, signature, spki)).toThrow(forged);
      }),
    );
  });

  it('cannot be taken for that of a version record, nor the reverse', () => {
    const version: VersionRecord = {
      agent,
      folder: 'database',
      epoch: '00000000000000cd',
      number: 3,
      createdAt: '2026-11-21T08:40:00.000Z',
      previous: null,
      root: 'ab'.repeat(32),
      packs: [['ab'.repeat(32), 500]],
      recipients: [],
    };
    const written = encodeVersionRecord(version);
    expect(() => verifyPointRecord(written, signRecord(written, privateKey), spki)).toThrow(invalid);
    expect(() => verifyVersionRecord(bytes, signature, spki, { folder: 'database' })).toThrow(invalid);
  });
});
