import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { generateKey, unarmor } from 'openpgp';
import { beforeEach, expect, it } from 'vitest';
import { searchForLeaks, type Needle } from '../../support/leak-search.ts';
import { findSecretKeyPackets } from '../../support/secret-key-packets.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const fixtures = new URL('../../fixtures/openpgp-keys/', import.meta.url);
const row = Buffer.from('日本語のテキスト 🐘 4711');
const needles: Needle[] = [{ what: 'a row', bytes: row }];
const noise = (seed: string): Buffer => seededBytes(seed, 20_000);
let directory: string;

beforeEach(() => {
  directory = temporaryDirectory();
  fs.mkdirSync(path.join(directory, 'spool/deep'), { recursive: true });
  fs.writeFileSync(path.join(directory, 'spool/other'), noise('other'));
});

async function binaryKey(armored: string): Promise<Buffer> {
  const { data } = await unarmor(armored);
  if (!(data instanceof Uint8Array)) throw new TypeError('a stream instead of bytes');
  return Buffer.from(data);
}

/** What the search says of a file with these bytes in the midst of noise. */
function leaksOf(planted: Buffer, after = noise('after')): string[] {
  const file = path.join(directory, 'spool/deep/file');
  fs.writeFileSync(file, Buffer.concat([noise('before'), planted, after]));
  const { leaks, files } = searchForLeaks(directory, needles);
  expect(files).toBe(2);
  expect(leaks.every((leak) => leak.file === 'spool/deep/file')).toBe(true);
  return [...new Set(leaks.map(({ what }) => what))];
}

it('finds nothing in noise, in public keys, and in nothing', async () => {
  expect(leaksOf(Buffer.alloc(0))).toEqual([]);
  for (const name of fs.readdirSync(fixtures).filter((each) => each.endsWith('.public.asc'))) {
    const armored = fs.readFileSync(new URL(name, fixtures), 'utf8');
    expect(leaksOf(Buffer.from(armored)), name).toEqual([]);
    expect(leaksOf(await binaryKey(armored)), name).toEqual([]);
  }
  expect(findSecretKeyPackets(seededBytes('much noise', 30 * 1024 * 1024))).toEqual([]);
});

it('finds nothing where the byte before a public key packet makes another header of it', async () => {
  const keys = fs.readdirSync(fixtures).filter((each) => each.endsWith('.public.asc'));
  for (const name of keys) {
    const key = await binaryKey(fs.readFileSync(new URL(name, fixtures), 'utf8'));
    for (let before = 1; before <= 5; before += 1) {
      for (let byte = 0; byte < 256; byte += 1) {
        const front = Buffer.alloc(before, byte);
        expect(findSecretKeyPackets(Buffer.concat([front, key, noise('after')])), `${name} ${byte}`).toEqual(
          [],
        );
      }
    }
  }
});

it('finds a row in plain bytes, and in whatever it is packed', () => {
  const long = Buffer.concat([Buffer.from('1\t2\t'), row, Buffer.alloc(300, '\tnull')]);
  const named = path.join(temporaryDirectory(), 'database.dump');
  fs.writeFileSync(named, long);
  const packings: [string, Buffer][] = [
    ['plain', row],
    ['zstd', zlib.zstdCompressSync(long)],
    ['gzip', zlib.gzipSync(long)],
    ['gzip with a name', execFileSync('gzip', ['-c', named])],
    ['zstd in zstd', zlib.zstdCompressSync(zlib.zstdCompressSync(long))],
    ['base64', Buffer.from(`"${long.toString('base64')}"`)],
  ];
  for (const [what, planted] of packings) expect(leaksOf(planted), what).toEqual(['a row']);
  const cutOff = zlib.gzipSync(Buffer.concat([long, noise('cut off')])).subarray(0, 4000);
  expect(leaksOf(cutOff, Buffer.alloc(0))).toEqual(['a row']);
});

it('finds secret keys, armored, binary and packed, with and without passphrase', async () => {
  const armoredKeys = fs
    .readdirSync(fixtures)
    .filter((name) => name.endsWith('.secret.asc'))
    .map((name) => fs.readFileSync(new URL(name, fixtures), 'utf8'));
  const userIDs = [{ name: 'Owner' }];
  const types = [{ type: 'rsa', rsaBits: 2048 }, { type: 'curve25519' }, { curve: 'nistP256' }] as const;
  for (const type of types) {
    for (const passphrase of ['', 'secret']) {
      const { privateKey } = await generateKey({ userIDs, ...type, ...(passphrase ? { passphrase } : {}) });
      armoredKeys.push(privateKey);
    }
  }
  expect(armoredKeys).toHaveLength(9);
  for (const armored of armoredKeys) {
    const binary = await binaryKey(armored);
    const packets = ['secret key packet', 'secret subkey packet'];
    expect(leaksOf(binary)).toEqual(packets);
    expect(leaksOf(Buffer.from(armored))).toEqual(['armored secret key', ...packets]);
    expect(leaksOf(zlib.zstdCompressSync(binary))).toEqual(packets);
  }
});
