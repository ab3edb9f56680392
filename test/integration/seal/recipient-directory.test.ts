import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import * as openpgp from 'openpgp';
import { beforeEach, expect, it } from 'vitest';
import { RecipientDirectory } from '../../../agent/seal/recipient-directory.ts';
import { readSealingState, SealingWatch } from '../../../agent/seal/sealing-state.ts';
import { homeAt, type Home } from '../../../shared/io/home.ts';
import { sealedLimits } from '../../../shared/sealing/sealed-limits.ts';
import { Sealer } from '../../../shared/sealing/sealer.ts';
import { openKeyUnsealer } from '../../../shared/sealing/unsealer.ts';
import { createTestKey } from '../../support/sealed-bench.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const dayMs = 86_400_000;
const made = Date.parse('2026-01-01T00:00:00Z');
let home: Home;
let clock: number;
let directory: RecipientDirectory;

beforeEach(() => {
  home = homeAt(temporaryDirectory(), 'agent.yaml');
  clock = made + dayMs;
  directory = new RecipientDirectory(home, () => clock);
});

/** A key of ten days, kept when it was one day old. */
async function keepShortKey(): Promise<{ privateKey: string; file: string }> {
  const { publicKey, privateKey } = await openpgp.generateKey({
    type: 'ecc',
    curve: 'curve25519Legacy',
    userIDs: [{ name: 'Short' }],
    date: new Date(made),
    keyExpirationTime: (10 * dayMs) / 1000,
  });
  const [kept] = await directory.add({ name: 'short.asc', content: publicKey });
  const file = path.join(directory.path, `${kept?.fingerprint}.asc`);
  fs.utimesSync(file, clock / 1000, clock / 1000);
  return { privateKey, file };
}

it('a key that expires while it is kept is still sealed to, and its owner can read', async () => {
  const { privateKey } = await keepShortKey();
  clock = made + 20 * dayMs;
  const sealTo = await directory.sealTo();
  const recipients = sealTo.kind === 'recipients' ? sealTo.recipients : [];
  expect(recipients.map(({ expiresAt }) => expiresAt)).toEqual([made + 10 * dayMs]);
  const sealed = await (await Sealer.toRecipients(recipients)).sealMessage(Buffer.from('later'));
  const unsealer = await openKeyUnsealer(privateKey, null);
  expect((await unsealer.unsealMessage(sealed, 100)).toString()).toBe('later');
});

it('a key that had expired when its file was put there is refused', async () => {
  const { file } = await keepShortKey();
  clock = made + 20 * dayMs;
  const content = fs.readFileSync(file);
  await expect(directory.add({ name: 'short.asc', content })).rejects.toThrowError(
    expect.objectContaining({ code: 'KEY_UNUSABLE' }),
  );
  fs.utimesSync(file, clock / 1000, clock / 1000);
  await expect(directory.list()).rejects.toThrowError(expect.objectContaining({ code: 'KEY_UNUSABLE' }));
});

it('the watch sees keys come and go, and what cannot be read', async () => {
  const watch = new SealingWatch(directory, () => clock);
  await watch.refresh();
  expect(watch.current).toMatchObject({ mode: 'none', problems: [] });
  clock = Date.now();
  const key = await createTestKey('owner');
  await directory.add({ name: 'owner', content: key.publicArmored });
  await watch.refresh();
  expect(watch.current.recipients.map(({ fingerprint }) => fingerprint)).toEqual([key.recipient.fingerprint]);
  fs.writeFileSync(path.join(directory.path, 'other.asc'), 'garbage');
  await watch.refresh();
  expect(watch.current.problems).toMatchObject([
    { code: 'KEY_INVALID', message: expect.stringContaining('other.asc') as string },
  ]);
  // what is good among them is told all the same
  expect(watch.current.recipients.map(({ fingerprint }) => fingerprint)).toEqual([key.recipient.fingerprint]);
  fs.rmSync(directory.path, { recursive: true });
  directory.setPassphrase('correct horse');
  await watch.refresh();
  expect(watch.current).toMatchObject({ mode: 'passphrase', passphraseFile: directory.passphraseFile });
});

it('a directory in the place of a key is a problem that is told, not a crash', async () => {
  fs.mkdirSync(path.join(directory.path, 'odd.asc'), { recursive: true });
  const state = await readSealingState(directory);
  expect(state.problems).toMatchObject([
    { code: 'KEY_INVALID', message: expect.stringMatching(/odd\.asc.*EISDIR/) as string },
  ]);
});

it('more recipients than a version can name are refused before they are kept, and found where they lie', async () => {
  clock = Date.now();
  const keys = await Promise.all(
    Array.from({ length: sealedLimits.recipientsMax + 1 }, async (_, number) =>
      createTestKey(`owner${number}`),
    ),
  );
  const [last, ...first] = keys.map(({ publicArmored }) => publicArmored);
  await directory.add({ name: 'first', content: first.join('\n') });
  await directory.add({ name: 'one of them again', content: first[0] ?? '' });
  const tooMany: unknown = expect.objectContaining({
    code: 'KEY_INVALID',
    message: '33 recipients are more than 32',
  });
  await expect(directory.add({ name: 'last', content: last ?? '' })).rejects.toThrowError(tooMany);
  expect(await directory.list()).toHaveLength(sealedLimits.recipientsMax);
  fs.writeFileSync(path.join(directory.path, 'by-hand.asc'), last ?? '');
  await expect(directory.sealTo()).rejects.toThrowError(tooMany);
  expect((await readSealingState(directory)).problems).toEqual([tooMany]);
});

it.each<[string, (file: string) => void]>([
  ['a device without end', (file) => fs.symlinkSync('/dev/zero', file)],
  ['a pipe', (file) => void execFileSync('mkfifo', [file])],
  ['a large file', (file) => fs.writeFileSync(file, Buffer.alloc(sealedLimits.keyFileBytesMax + 1))],
])('is not held up by %s among the keys, and names it', async (_what, place) => {
  clock = Date.now();
  await directory.add({ name: 'good.asc', content: (await createTestKey('good')).publicArmored });
  place(path.join(directory.path, 'z.asc'));
  await expect(directory.list()).rejects.toMatchObject({
    code: 'KEY_INVALID',
    message: expect.stringContaining('z.asc') as string,
  });
});
