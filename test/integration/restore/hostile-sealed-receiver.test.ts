import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { deviceIdOfKey, type DeviceId } from '../../../shared/identity/device-id.ts';
import { packName, versionName, versionSignatureName } from '../../../shared/sealing/object-name.ts';
import { sealRootMessage } from '../../../shared/sealing/root-message.ts';
import { sealPack } from '../../../shared/sealing/sealer.ts';
import { signRecord } from '../../../shared/sealing/signed-record.ts';
import { encodeVersionRecord } from '../../../shared/sealing/version-record.ts';
import { HostileReceiver } from '../../support/hostile-receiver.ts';
import { restoreFrom } from '../../support/restore-bench.ts';
import { createSealedKeys, keyPassphrase, type SealedKeys } from '../../support/sealed-restore-bench.ts';
import { sha256 } from '../../support/store-fixture.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { unsealersOf } from '../../support/unsealers-of.ts';

/**
 * Whoever has the public key can seal, and sign with a key of his own: where nobody names the agent, everything that
 * such a receiver has made must be harmless, and where somebody does, refused.
 */
let keys: SealedKeys;

let workplace: string;
let to: string;
let outside: string;

beforeAll(async () => {
  keys = await createSealedKeys('owner');
});

beforeEach(() => {
  workplace = temporaryDirectory();
  to = path.join(workplace, 'to');
  outside = path.join(workplace, 'outside');
  fs.mkdirSync(outside);
  fs.writeFileSync(path.join(outside, 'precious'), 'precious');
});

afterEach(() => {
  expect(fs.readdirSync(outside)).toEqual(['precious']);
  expect(fs.readFileSync(path.join(outside, 'precious'), 'utf8')).toBe('precious');
});

const device = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
const publicKey = createPublicKey(device);
const signer = deviceIdOfKey(publicKey.export({ type: 'spki', format: 'der' }));
const about = {
  folder: 'database',
  epoch: '00000000000000ab',
  number: 1,
  createdAt: '2026-11-21T08:40:00.000Z',
};
const content = Buffer.from('the content of a file');
const common = { uid: 0, gid: 0, mtimeNs: '1' };
const file = (name: string, more: object = {}): object => ({
  ...common,
  path: name,
  type: 'file',
  size: content.length,
  mode: 0o644,
  sha256: sha256(content).toString('hex'),
  extents: [[0, 0, content.length]],
  ...more,
});

type Version = { entries: object[]; manifestTimes?: number; named?: boolean };

/** A receiver with one version, sealed and signed as it should be, whose manifest says what nobody should believe. */
async function receiverOf({ entries, manifestTimes = 1, named = true }: Version): Promise<HostileReceiver> {
  const receiver = new HostileReceiver();
  receiver.folders = [{ id: 'database', kind: 'sealed', files: 1, bytes: 1 }];
  const pack = await sealPack(content, keys.sealer);
  const { folder, createdAt } = about;
  const lines = [
    { format: 'mastokeep-manifest-1', folder, createdAt },
    { packs: [pack.hash.toString('hex')] },
    ...entries,
  ];
  const text = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const manifest = await sealPack(text, keys.sealer);
  const extent = { pack: manifest.hash.toString('hex'), offset: 0, length: text.length };
  const root = await sealRootMessage(
    {
      ...about,
      source: { kind: 'paths' },
      manifest: {
        size: text.length * manifestTimes,
        sha256: sha256(text).toString('hex'),
        extents: Array.from({ length: manifestTimes }, () => extent),
      },
    },
    keys.sealer,
  );
  const packs = [root, manifest, ...(named ? [pack] : [])];
  const record = encodeVersionRecord({
    ...about,
    agent: signer,
    previous: null,
    root: root.hash.toString('hex'),
    packs: packs.map(({ hash, bytes }): [string, number] => [hash.toString('hex'), bytes.length]),
    recipients: [...keys.sealer.recipientKeyIds],
  });
  for (const { hash, bytes } of [root, manifest, pack]) receiver.add(packName(hash), bytes);
  receiver.add('agent.pem', Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })));
  receiver.add(versionName(about), record);
  receiver.add(versionSignatureName(about), signRecord(record, device));
  return receiver;
}

function restore(receiver: HostileReceiver, agentId: DeviceId | null = null) {
  const options = { to, folders: ['database'], agentId };
  return restoreFrom(receiver, options, () => null, unsealersOf(keys.pair, workplace, keyPassphrase));
}

function expectNothingRestored(): void {
  const place = path.join(to, 'database');
  expect(fs.existsSync(place) ? fs.readdirSync(place, { recursive: true }) : []).toEqual([]);
}

it('restores what is as it should be, and refuses all of it where another agent is named', async () => {
  const receiver = await receiverOf({ entries: [file('dump')] });
  const stranger = 'P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2' as DeviceId;
  await expect(restore(receiver, stranger)).rejects.toMatchObject({ code: 'RECORD_FORGED' });
  expectNothingRestored();
  expect((await restore(receiver)).folders[0]?.version).toMatchObject({ signer, signerVerified: false });
  expect(fs.readFileSync(path.join(to, 'database/dump')).equals(content)).toBe(true);
});

const directory = (name: string): object => ({ ...common, path: name, type: 'directory', mode: 0o755 });
const symlink = (name: string): object => ({
  ...common,
  path: name,
  type: 'symlink',
  target: '../../outside',
});

it.each<[string, string, Version]>([
  ['a path that climbs', 'PATH_INVALID', { entries: [file('../../outside/precious')] }],
  ['a path that climbs further down', 'PATH_INVALID', { entries: [file('a/../../../outside/precious')] }],
  ['an absolute path', 'PATH_INVALID', { entries: [file('/etc/planted')] }],
  ['a path with a NUL', 'PATH_INVALID', { entries: [file('a\0b')] }],
  ['a file below a link', 'MANIFEST_INVALID', { entries: [symlink('way'), file('way/precious')] }],
  ['a link above a file', 'MANIFEST_INVALID', { entries: [file('way/precious'), symlink('way')] }],
  ['a directory below a link', 'MANIFEST_INVALID', { entries: [symlink('way'), directory('way/new')] }],
  ['a path twice', 'MANIFEST_INVALID', { entries: [file('a'), file('a')] }],
  [
    'an extent that ends behind its pack',
    'MANIFEST_INVALID',
    { entries: [file('a', { size: 1000, extents: [[0, 0, 1000]] })] },
  ],
  [
    'an extent of no pack',
    'MANIFEST_INVALID',
    { entries: [file('a', { extents: [[7, 0, content.length]] })] },
  ],
  ['a size that its extents do not have', 'MANIFEST_INVALID', { entries: [file('a', { size: 5 })] }],
  ['a pack that the record does not name', 'MANIFEST_INVALID', { entries: [file('a')], named: false }],
  [
    'another hash than the content has',
    'CONTENT_MISMATCH',
    { entries: [file('a', { sha256: '0'.repeat(64) })] },
  ],
])('writes nothing when the manifest has %s', async (_, code, version) => {
  const receiver = await receiverOf(version);
  await expect(restore(receiver)).rejects.toMatchObject({ code });
  expectNothingRestored();
});

it.each([
  ['root message', 0],
  ['manifest', 1],
  ['pack', 2],
])('refuses another %s in the place of the signed one, though sealed to the same key', async (_, at) => {
  const receiver = await receiverOf({ entries: [file('dump')] });
  const forger = await receiverOf({ entries: [file('planted')] });
  const [held, forged] = [receiver.entries[at], forger.entries[at]];
  if (held === undefined || forged?.state.kind !== 'file') throw new Error('there is no such pack');
  held.state = forged.state;
  for (const [hash, bytes] of forger.contents) receiver.contents.set(hash, bytes);
  await expect(restore(receiver)).rejects.toMatchObject({ code: 'PACK_CORRUPT' });
  expectNothingRestored();
});

it('takes no memory for a manifest that says it is huge', async () => {
  const receiver = await receiverOf({
    entries: [file('a', { note: 'x'.repeat(900_000) })],
    manifestTimes: 1200,
  });
  await expect(restore(receiver)).rejects.toMatchObject({
    code: 'MANIFEST_INVALID',
    message: expect.stringContaining('too large') as string,
  });
  expectNothingRestored();
});

it('takes no memory for an object that says it is huge', async () => {
  const receiver = await receiverOf({ entries: [file('a')] });
  for (const { state } of receiver.entries) if (state.kind === 'file') state.size = 2 ** 40;
  await expect(restore(receiver)).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' });
  expectNothingRestored();
});
