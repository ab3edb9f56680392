import { createHash, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deviceIdOfKey } from '../../shared/identity/device-id.ts';
import {
  packName,
  parseSealedObjectName,
  versionName,
  versionSignatureName,
} from '../../shared/sealing/object-name.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import { recordHash, signRecord } from '../../shared/sealing/signed-record.ts';
import {
  encodeVersionRecord,
  parseVersionRecord,
  verifyVersionRecord,
  type VersionRecord,
} from '../../shared/sealing/version-record.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const spki = publicKey.export({ type: 'spki', format: 'der' });
const agent = deviceIdOfKey(spki);
const hex = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes).toString('hex'));

const records: fc.Arbitrary<VersionRecord> = fc
  .record({
    folder: fc.constantFrom('database', 'secrets', '0.a_b-c'),
    epoch: hex(8),
    number: fc.integer({ min: 1, max: 9_999_999_999 }),
    createdAt: fc
      .date({ min: new Date('2020-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
      .map((date) => date.toISOString()),
    previous: fc.option(hex(32)),
    packs: fc.uniqueArray(fc.tuple(hex(32), fc.integer({ min: 1, max: sealedLimits.packBytesMax })), {
      minLength: 1,
      maxLength: 5,
      selector: ([hash]) => hash,
    }),
    recipients: fc.array(
      hex(8).map((id) => id.toUpperCase()),
      { maxLength: 3 },
    ),
  })
  .map((fields) => Object.assign(fields, { agent, root: fields.packs[0]?.[0] ?? '' }));

const sample: VersionRecord = {
  agent,
  folder: 'database',
  epoch: '00000000000000ab',
  number: 7,
  createdAt: '2026-11-21T08:40:00.000Z',
  previous: null,
  root: 'ab'.repeat(32),
  packs: [
    ['cd'.repeat(32), 1000],
    ['ab'.repeat(32), 500],
  ],
  recipients: ['0123456789ABCDEF'],
};
const bytes = encodeVersionRecord(sample);
const signature = signRecord(bytes, privateKey);
const forged: unknown = expect.objectContaining({ code: 'RECORD_FORGED' });
const invalid: unknown = expect.objectContaining({ code: 'RECORD_INVALID' });

describe('a version record', () => {
  it('has one spelling', () => {
    expect(bytes.toString('utf8')).toBe(
      `{"agent":"${agent}","createdAt":"2026-11-21T08:40:00.000Z","epoch":"00000000000000ab","folder":"database",` +
        `"label":"mastokeep-version-1","number":7,"packs":[["${'cd'.repeat(32)}",1000],["${'ab'.repeat(32)}",500]],` +
        `"previous":null,"recipients":["0123456789ABCDEF"],"root":"${'ab'.repeat(32)}"}`,
    );
    expect(recordHash(bytes)).toBe(createHash('sha256').update(bytes).digest('hex'));
    fc.assert(
      fc.property(records, (record) => {
        const written = encodeVersionRecord(record);
        expect(parseVersionRecord(written)).toEqual(record);
        const shuffled = Object.fromEntries(Object.entries(record).toReversed()) as VersionRecord;
        expect(encodeVersionRecord(shuffled).equals(written)).toBe(true);
      }),
    );
  });

  const text = bytes.toString('utf8');
  it.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['no JSON', '{'],
    ['no object', '[]'],
    ['null', 'null'],
    ['white space', ` ${text}`],
    ['a line feed at its end', `${text}\n`],
    [
      'another order',
      `{"label":"mastokeep-version-1",${text.slice(1).replace(',"label":"mastokeep-version-1"', '')}`,
    ],
    ['a member twice', text.replace('"number":7', '"number":8,"number":7')],
    ['a member more', text.replace('{"agent"', '{"abc":1,"agent"')],
    ['another label', text.replace('version-1', 'version-2')],
    ['a number that is none', text.replace('"number":7', '"number":"7"')],
    ['a number written otherwise', text.replace('"number":7', '"number":7.0')],
    ['number zero', text.replace('"number":7', '"number":0')],
    ['a time of no day', text.replace('2026-11-21', '2026-02-31')],
    ['a time without milliseconds', text.replace('.000Z', 'Z')],
    ['a folder that climbs', text.replace('"database"', '"../x"')],
    ['upper case in a hash', text.replace('ab'.repeat(32), 'AB'.repeat(32))],
    ['a pack twice', text.replace('cd'.repeat(32), 'ab'.repeat(32))],
    [
      'a root that is not among its packs',
      text.replace(`"root":"${'ab'.repeat(32)}"`, `"root":"${'ef'.repeat(32)}"`),
    ],
    ['a pack without size', text.replace(',1000]', ']')],
    ['a pack larger than any', text.replace(',1000]', `,${sealedLimits.packBytesMax + 1}]`)],
    ['a prototype', text.replace('{"agent"', '{"__proto__":{},"agent"')],
    ['bytes that are not UTF-8', Buffer.concat([bytes.subarray(0, -2), Buffer.from([0xff, 0x22, 0x7d])])],
    ['too many bytes', Buffer.alloc(17 * 1024 * 1024, ' ')],
  ])('is refused with %s', (_, changed) => {
    expect(() => parseVersionRecord(Buffer.from(changed))).toThrowError(invalid);
  });

  it('is refused with an error of its own whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((json) => Buffer.from(json)),
        ),
        (noise) => {
          expect(() => parseVersionRecord(noise)).toThrowError(invalid);
        },
      ),
    );
  });
});

describe('its signature', () => {
  it('proves the agent and the folder, from DER, PEM and a key object', () => {
    for (const key of [
      spki,
      publicKey.export({ type: 'spki', format: 'pem' }),
      createPublicKey(privateKey),
    ]) {
      expect(verifyVersionRecord(bytes, signature, key, { folder: 'database' })).toEqual(sample);
    }
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    const again = signRecord(bytes, pem.toString());
    expect(verifyVersionRecord(bytes, again, spki, { folder: 'database' })).toEqual(sample);
  });

  it('does not fit a changed byte of record or signature', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: bytes.length + signature.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (at, change) => {
          const record = Buffer.from(bytes);
          const signed = Buffer.from(signature);
          if (at < bytes.length) record[at] = (record[at] ?? 0) ^ change;
          else signed[at - bytes.length] = (signed[at - bytes.length] ?? 0) ^ change;
          expect(() => verifyVersionRecord(record, signed, spki, { folder: 'database' })).toThrowError(
            forged,
          );
        },
      ),
    );
    for (const other of [Buffer.alloc(0), randomBytes(70), signature.subarray(0, -1)]) {
      expect(() => verifyVersionRecord(bytes, other, spki, { folder: 'database' })).toThrowError(forged);
    }
  });

  it('is refused for another folder, by another signer, and for a record that names another agent', () => {
    expect(() => verifyVersionRecord(bytes, signature, spki, { folder: 'secrets' })).toThrowError(forged);
    const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const otherSpki = other.publicKey.export({ type: 'spki', format: 'der' });
    expect(() => verifyVersionRecord(bytes, signature, otherSpki, { folder: 'database' })).toThrowError(
      forged,
    );
    const signedByOther = signRecord(bytes, other.privateKey);
    expect(() => verifyVersionRecord(bytes, signedByOther, otherSpki, { folder: 'database' })).toThrowError(
      forged,
    );
  });

  it('of something else than a record makes none', () => {
    const text = Buffer.from('{"label":"mastokeep-version-1"}');
    expect(() =>
      verifyVersionRecord(text, signRecord(text, privateKey), spki, { folder: 'database' }),
    ).toThrowError(invalid);
  });
});

describe('object names', () => {
  it('are read as they are written', () => {
    const hash = randomBytes(32);
    expect(parseSealedObjectName(packName(hash))).toEqual({ kind: 'pack', hash });
    expect(packName(hash.toString('hex'))).toBe(packName(hash));
    const version = { number: 42, epoch: '0123456789abcdef' };
    expect(versionName(version)).toBe('versions/0000000042-0123456789abcdef.json');
    expect(parseSealedObjectName(versionName(version))).toEqual({ kind: 'version', ...version });
    expect(parseSealedObjectName(versionSignatureName(version))).toEqual({ kind: 'signature', ...version });
  });

  it.each([
    '',
    'packs/',
    `packs/${'a'.repeat(63)}.pgp`,
    `packs/${'A'.repeat(64)}.pgp`,
    `packs/${'a'.repeat(64)}.pgp\n`,
    `/packs/${'a'.repeat(64)}.pgp`,
    'versions/42-0123456789abcdef.json',
    'versions/0000000042-0123456789abcdef.json.sig.sig',
    'versions/../packs/x',
  ])('are not read from %j', (name) => {
    expect(parseSealedObjectName(name)).toBe(null);
  });
});
