import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { padmeLength } from '../../shared/sealing/padme.ts';
import {
  encodeRootMessage,
  parseRootMessage,
  sealRootMessage,
  unsealRootMessage,
  type RootMessage,
} from '../../shared/sealing/root-message.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import { Sealer } from '../../shared/sealing/sealer.ts';
import { openPassphraseUnsealer } from '../../shared/sealing/unsealer.ts';

const pack = (n: number): string => n.toString(16).padStart(64, '0');
const invalid: unknown = expect.objectContaining({ code: 'MANIFEST_INVALID' });
const sample: RootMessage = {
  folder: 'database',
  epoch: '00000000000000ab',
  number: 3,
  createdAt: '2026-11-21T08:40:00.000Z',
  source: { kind: 'postgres', postgresVersion: '15.10', tables: { accounts: 8192 }, note: 'ü' },
  manifest: {
    size: 30,
    sha256: pack(9),
    extents: [
      { pack: pack(1), offset: 5, length: 20 },
      { pack: pack(2), offset: 0, length: 10 },
    ],
  },
};

describe('a root message', () => {
  it('is JSON that tells little by its length', () => {
    const bytes = encodeRootMessage(sample);
    expect(bytes.length).toBe(1024);
    expect(JSON.parse(bytes.toString('utf8'))).toMatchObject({
      format: 'mastokeep-root-1',
      manifest: {
        packs: [pack(1), pack(2)],
        extents: [
          [0, 5, 20],
          [1, 0, 10],
        ],
      },
    });
    expect(parseRootMessage(bytes)).toEqual(sample);
    const longer = encodeRootMessage({ ...sample, source: { kind: 'paths', text: 'x'.repeat(5000) } });
    expect(padmeLength(longer.length)).toBe(longer.length);
  });

  it('gives back every list of extents', () => {
    const extent = fc.record({
      pack: fc.nat({ max: 4 }).map(pack),
      offset: fc.nat({ max: 9 }),
      length: fc.integer({ min: 1, max: 9 }),
    });
    // zod leaves that name out of records
    const facts = fc.jsonValue().filter((value) => !JSON.stringify(value).includes('__proto__'));
    fc.assert(
      fc.property(fc.array(extent), facts, (extents, fact) => {
        const size = extents.reduce((sum, { length }) => sum + length, 0);
        // JSON knows no negative zero
        const source = JSON.parse(JSON.stringify({ kind: 'command', fact })) as RootMessage['source'];
        const root = { ...sample, source, manifest: { size, sha256: pack(1), extents } };
        expect(parseRootMessage(encodeRootMessage(root))).toEqual(root);
      }),
    );
  });

  it('has as many extents as there may be, and no more', () => {
    const extents = Array.from({ length: sealedLimits.rootExtentsMax }, (_, offset) => ({
      pack: pack(1),
      offset,
      length: 1,
    }));
    const manifest = { size: extents.length, sha256: pack(9), extents };
    const bytes = encodeRootMessage({ ...sample, manifest });
    expect(parseRootMessage(bytes).manifest.extents).toHaveLength(sealedLimits.rootExtentsMax);
    const more = { ...manifest, size: extents.length + 1, extents: [...extents, ...extents.slice(0, 1)] };
    expect(() => encodeRootMessage({ ...sample, manifest: more })).toThrowError(invalid);
    const text = bytes.toString('utf8').replace('"extents":[', '"extents":[[0,0,1],');
    const oneMore = text.replace(`"size":${extents.length}`, `"size":${extents.length + 1}`);
    expect(() => parseRootMessage(Buffer.from(oneMore))).toThrowError(
      expect.objectContaining({
        code: 'MANIFEST_INVALID',
        message: expect.stringContaining('extents') as string,
      }),
    );
  });

  it.each<[string, (text: string) => string]>([
    ['no JSON', () => '{'],
    ['another format', (text) => text.replace('root-1', 'root-2')],
    ['a missing member', (text) => text.replace(',"size":30', '')],
    ['a pack that is not listed', (text) => text.replace('[1,0,10]', '[2,0,10]')],
    ['an extent too long', (text) => text.replace('[1,0,10]', '[1,16777210,10]')],
    ['extents that miss bytes', (text) => text.replace('[1,0,10]', '[1,0,9]')],
    ['a source without kind', (text) => text.replace('"kind"', '"kin"')],
  ])('is refused with %s', (_, change) => {
    const text = encodeRootMessage(sample).toString('utf8');
    expect(change(text)).not.toBe(text);
    expect(() => parseRootMessage(Buffer.from(change(text)))).toThrowError(invalid);
  });

  it('belongs to one version of one folder', async () => {
    const sealed = await sealRootMessage(sample, Sealer.toPassphrase('correct horse'));
    const unsealer = openPassphraseUnsealer('correct horse');
    expect(await unsealRootMessage(sealed.bytes, unsealer, sample)).toEqual(sample);
    for (const other of [
      { folder: 'secrets' },
      { number: 4 },
      { epoch: '00000000000000ac' },
      { createdAt: '2026-11-21T08:40:00.001Z' },
    ]) {
      await expect(unsealRootMessage(sealed.bytes, unsealer, { ...sample, ...other })).rejects.toThrowError(
        expect.objectContaining({ code: 'RECORD_FORGED' }),
      );
    }
  });
});
