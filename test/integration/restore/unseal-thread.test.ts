import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { UnsealThread } from '../../../agent/restore/unseal-thread.ts';
import type { SealedPack } from '../../../shared/sealing/sealed-pack.ts';
import { sealPack } from '../../../shared/sealing/sealer.ts';
import { createSealedKeys, keyPassphrase, type SealedKeys } from '../../support/sealed-restore-bench.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

const small = Buffer.from('a small pack');
const large = seededBytes('a large pack', 3_000_000);

let keys: SealedKeys;
let packs: SealedPack[];
let thread: UnsealThread;

beforeAll(async () => {
  keys = await createSealedKeys('owner');
  packs = [];
  for (const chunks of [small, large]) {
    const { hash, bytes } = await sealPack(chunks, keys.sealer);
    packs.push({ hash, bytes: Buffer.from(bytes) });
  }
});

beforeEach(async () => {
  thread = new UnsealThread();
  const keyFile = Buffer.from(keys.pair.privateArmored);
  await thread.use({ kind: 'key', keyFile, passphrase: keyPassphrase });
});

afterEach(() => thread.close());

/** The pack at that place as it came from a receiver, alone in its memory. */
const fetched = (place: number): Uint8Array<ArrayBuffer> => new Uint8Array(packs[place]?.bytes ?? []);
const nameOf = (place: number): string => packs[place]?.hash.toString('hex') ?? '';

it('opens packs that are asked for at the same time', async () => {
  const opened = await Promise.all([0, 1, 0].map(async (at) => thread.unsealPack(nameOf(at), fetched(at))));
  expect(opened.map((chunks, at) => chunks.equals(at === 1 ? large : small))).toEqual([true, true, true]);
});

it('refuses a pack that is sealed as it should be and is another one', async () => {
  await expect(thread.unsealPack(nameOf(1), fetched(0))).rejects.toMatchObject({
    code: 'PACK_CORRUPT',
    message: `packs/${nameOf(1)}.pgp is damaged on the receiver`,
    hint: expect.stringContaining('another receiver') as string,
  });
  expect((await thread.unsealPack(nameOf(0), fetched(0))).equals(small)).toBe(true);
});

it('keeps what it opens with when another passphrase is wrong, and says so', async () => {
  const keyFile = Buffer.from(keys.pair.privateArmored);
  await expect(thread.use({ kind: 'key', keyFile, passphrase: 'x' })).rejects.toMatchObject({
    code: 'KEY_WRONG',
  });
  expect((await thread.unsealMessage(fetched(0), 10_000)).length).toBeGreaterThan(small.length);
});

it('lets nobody wait for a thread that ended', async () => {
  const waiting = thread.unsealPack(nameOf(1), fetched(1));
  const refused = expect(waiting).rejects.toThrow('the unsealing thread ended');
  await thread.close();
  await refused;
  await expect(thread.unsealPack(nameOf(0), fetched(0))).rejects.toThrow('the unsealing thread ended');
});
