import { generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OpenUnsealer } from '../../../agent/restore/open-sealed-folder.ts';
import { commandUnsealer } from '../../../agent/restore/command-unsealer.ts';
import type { RestoreResult } from '../../../agent/restore/run-restore.ts';
import { AgentKey } from '../../../receiver/store/agent-key.ts';
import { AgentQuota } from '../../../receiver/store/agent-quota.ts';
import { openSealedStore } from '../../../receiver/store/open-sealed-store.ts';
import type { SealedStore } from '../../../receiver/store/sealed-store.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';
import { silentLogger } from '../../../shared/io/logger.ts';
import { nodeDisk } from '../../../shared/io/node-disk.ts';
import { generateKeyPair, type GeneratedKeyPair } from '../../../shared/sealing/key-pair.ts';
import { loadRecipients } from '../../../shared/sealing/recipient.ts';
import { Sealer } from '../../../shared/sealing/sealer.ts';
import { ReceiverDirectory, type TreeEntry } from '../../support/receiver-directory.ts';
import { restoreFrom } from '../../support/restore-bench.ts';
import { sealedReceiver, type Lie } from '../../support/sealed-receiver.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { sha256 } from '../../support/store-fixture.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const passphrase = 'correct horse battery staple';
const big = seededBytes('a dump', 3_000_000);
const grown = Buffer.concat([
  big.subarray(0, 1_000_000),
  seededBytes('more', 100_000),
  big.subarray(1_000_000),
]);
const firstTree: TreeEntry[] = [
  { type: 'directory', path: 'etc', mode: 0o750 },
  { type: 'file', path: 'etc/.env.production', mode: 0o600, content: Buffer.from('SECRET=1\n') },
  { type: 'symlink', path: 'etc/current', target: '.env.production' },
  { type: 'file', path: 'dump.pgdump', mode: 0o640, content: big },
  { type: 'file', path: 'empty', mode: 0o644, content: Buffer.alloc(0) },
];
const secondTree = firstTree.map((entry) =>
  entry.path === 'dump.pgdump' && entry.type === 'file' ? { ...entry, content: grown } : entry,
);

let keys: GeneratedKeyPair;
let strange: GeneratedKeyPair;
let sealer: Sealer;
let directory: string;
let data: ReceiverDirectory;
let store: SealedStore | null;
let target: string;
let notes: string[];

beforeAll(async () => {
  keys = await generateKeyPair({ name: 'Owner', email: 'owner@example.org' }, passphrase);
  strange = await generateKeyPair({ name: 'Other', email: 'other@example.org' }, passphrase);
  sealer = await Sealer.toRecipients(await loadRecipients([{ name: 'key', content: keys.publicArmored }]));
});

beforeEach(() => {
  directory = temporaryDirectory();
  data = new ReceiverDirectory(path.join(directory, 'data'), {
    folder: 'database',
    sealer,
    blockBytes: 50_000,
    packBytes: 1_500_000,
  });
  store = null;
  target = path.join(directory, 'restored');
  notes = [];
});

afterEach(async () => {
  await store?.close();
  fs.rmSync(directory, { recursive: true });
});

/** A receiver that has lost journal and database: everything comes from the plain files. */
async function serve(folder = 'database'): Promise<SealedStore> {
  const agentDirectory = path.join(directory, 'data', data.agent);
  const key = new AgentKey(data.agent, { directory: agentDirectory });
  store ??= await openSealedStore(
    {
      disk: nodeDisk,
      logger: silentLogger,
      quota: new AgentQuota({ bytesMax: null, sealedReserve: 0 }),
      now: Date.now,
      agentKey: () => key.read(),
      onRefused: () => {},
    },
    {
      directory: path.join(agentDirectory, folder),
      databasePath: path.join(directory, `${folder}.db`),
      agentId: data.agent,
      folderId: folder,
      freeSpaceFloor: 0,
      partialDaysMax: 7,
    },
  );
  return store;
}

async function restore({
  openUnsealer = keyUnsealer(keys, passphrase),
  agentId = data.agent,
  folder = 'database',
  folders = [folder],
  lie = () => {},
}: {
  openUnsealer?: OpenUnsealer;
  agentId?: DeviceId | null;
  folder?: string;
  folders?: string[];
  lie?: Lie;
} = {}): Promise<RestoreResult> {
  const held = await serve(folder);
  const nextChannel = sealedReceiver(held, { agentId: data.agent, folder, lie });
  return restoreFrom({ nextChannel, notes }, { to: target, folders, agentId }, () => null, openUnsealer);
}

function keyUnsealer(pair: GeneratedKeyPair, secret: string): OpenUnsealer {
  const [key, keyPassphrase] = [path.join(directory, 'key.asc'), path.join(directory, 'passphrase')];
  fs.writeFileSync(key, pair.privateArmored);
  fs.writeFileSync(keyPassphrase, `${secret}\n`);
  return commandUnsealer({ key, keyPassphrase, passphrase: null }, null);
}

function expectTree(tree: readonly TreeEntry[]): void {
  for (const entry of tree) {
    const place = path.join(target, 'database', entry.path);
    const found = fs.lstatSync(place);
    if (entry.type === 'symlink') expect(fs.readlinkSync(place)).toBe(entry.target);
    else expect(found.mode & 0o7777, entry.path).toBe(entry.mode);
    if (entry.type === 'file') expect(fs.readFileSync(place).equals(entry.content), entry.path).toBe(true);
  }
}

/** Not a file, whole or in part, and no directory: as if nothing had been tried. */
function expectNothingRestored(): void {
  const place = path.join(target, 'database');
  expect(fs.existsSync(place) ? fs.readdirSync(place, { recursive: true }) : []).toEqual([]);
}

function packFiles(): string[] {
  const packs = path.join(data.folderDirectory, 'packs');
  return fs.readdirSync(packs).map((name) => path.join(packs, name));
}

it('restores the newest version with modes, links and content spread over many packs', async () => {
  await data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  await data.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
  const result = await restore();
  expectTree(secondTree);
  expect(result.folders[0]).toMatchObject({
    files: 4,
    failed: [],
    version: { number: 2, createdAt: '2026-11-21T09:40:00.000Z', signer: data.agent, signerVerified: true },
  });
  expect(fs.readdirSync(path.join(target, 'database')).sort()).toEqual(['dump.pgdump', 'empty', 'etc']);
  const again = await restore();
  expect(again.folders[0]).toMatchObject({ files: 0, skipped: 4, failed: [] });
});

it('says that the signer is unverified where nobody named the agent', async () => {
  await data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  const result = await restore({ agentId: null });
  expect(notes.join('\n')).toContain('signer unverified');
  expect(notes.join('\n')).toContain(data.agent);
  expect(result.folders[0]?.version?.signerVerified).toBe(false);
  expectTree(firstTree);
});

it('takes an older version that is complete, and says so', async () => {
  await data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  const before = new Set(packFiles());
  await data.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
  fs.rmSync(packFiles().find((file) => !before.has(file)) ?? '');
  const result = await restore();
  expect(result.folders[0]?.version?.number).toBe(1);
  expect(notes.join('\n')).toContain('lacks 1 packs');
  expectTree(firstTree);
});

it('goes on with other folders where the key of one is not there', async () => {
  await data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  const result = await restore({ openUnsealer: keyUnsealer(strange, passphrase), folders: [] });
  expect(result.folders).toMatchObject([{ id: 'database', files: 0, failed: [{ code: 'KEY_WRONG' }] }]);
});

describe('what fails leaves nothing half-restored', () => {
  const fails = async (code: string, options: Parameters<typeof restore>[0] = {}): Promise<void> => {
    await expect(restore(options)).rejects.toMatchObject({ code });
    expectNothingRestored();
  };

  beforeEach(async () => {
    await data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  });

  it('another private key', async () => {
    await fails('KEY_WRONG', { openUnsealer: keyUnsealer(strange, passphrase) });
  });

  it('a wrong passphrase', async () => {
    await fails('KEY_WRONG', { openUnsealer: keyUnsealer(keys, 'wrong') });
  });

  it('another agent than the one that was named', async () => {
    await fails('RECORD_FORGED', {
      agentId: 'P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2' as DeviceId,
    });
  });

  it('a missing pack', async () => {
    fs.rmSync(packFiles()[1] ?? '');
    await fails('CONTENT_GONE');
  });

  it('a flipped bit, found by the receiver', async () => {
    await serve();
    for (const file of packFiles().filter((file) => fs.statSync(file).size > 1_000_000)) flipBit(file);
    await fails('PACK_CORRUPT');
  });

  it('a flipped bit that the receiver hides', async () => {
    await serve();
    const file = packFiles().find((one) => fs.statSync(one).size > 1_000_000) ?? '';
    flipBit(file);
    const hash = sha256(fs.readFileSync(file));
    const held = await serve();
    const copies = held.copies.bind(held);
    held.copies = (wanted) =>
      copies(wanted.equals(hash) ? Buffer.from(path.basename(file, '.pgp'), 'hex') : wanted);
    await fails('PACK_CORRUPT', {
      lie: (entries) => {
        for (const { path: name, state } of entries) {
          if (name === `packs/${path.basename(file)}` && state.kind === 'file') state.hash = hash;
        }
      },
    });
  });

  it('another pack under its name', async () => {
    const sizes = packFiles().map((file) => ({ file, size: fs.statSync(file).size }));
    const [first, second] = sizes
      .filter(({ size }) => size > 1_000_000)
      .map(({ file }) => path.basename(file));
    await fails('PACK_CORRUPT', {
      lie: (entries) => {
        const other = entries.find((entry) => entry.path === `packs/${second}`)?.state;
        const lied = entries.find((entry) => entry.path === `packs/${first}`);
        if (lied !== undefined && other !== undefined) lied.state = other;
      },
    });
  });

  it('a damaged pack, into a directory that was there before', async () => {
    await serve();
    fs.mkdirSync(path.join(target, 'database'), { recursive: true });
    fs.writeFileSync(path.join(target, 'database/mine'), 'mine');
    const large = packFiles().filter((file) => fs.statSync(file).size > 1_000_000);
    flipBit(large.at(-1) ?? '');
    await expect(restore()).rejects.toMatchObject({ code: 'PACK_CORRUPT' });
    expect(fs.readdirSync(path.join(target, 'database'))).toEqual(['mine']);
  });

  it('a forged record', async () => {
    const other = new ReceiverDirectory(path.join(directory, 'other'), {
      folder: 'database',
      sealer,
      blockBytes: 50_000,
      packBytes: 1_500_000,
      deviceKey: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
    });
    await other.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
    fs.cpSync(other.folderDirectory, data.folderDirectory, { recursive: true });
    await fails('RECORD_FORGED');
  });

  it('a record of another version under its name', async () => {
    await data.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
    const versions = path.join(data.folderDirectory, 'versions');
    for (const suffix of ['.json', '.json.sig']) {
      const names = fs.readdirSync(versions);
      const first = names.find((name) => name.startsWith('0000000001') && name.endsWith(suffix)) ?? '';
      fs.copyFileSync(
        path.join(versions, first),
        path.join(versions, first.replace('0000000001', '0000000003')),
      );
    }
    await fails('RECORD_FORGED');
  });

  it('a record of another folder', async () => {
    const folder = path.join(path.dirname(data.folderDirectory), 'secrets');
    fs.cpSync(data.folderDirectory, folder, { recursive: true });
    await fails('RECORD_FORGED', { folder: 'secrets' });
  });

  it('a file that is in the way', async () => {
    fs.mkdirSync(path.join(target, 'database'), { recursive: true });
    fs.writeFileSync(path.join(target, 'database/dump.pgdump'), 'mine');
    await expect(restore()).rejects.toMatchObject({ code: 'RESTORE_CONFLICT' });
    expect(fs.readFileSync(path.join(target, 'database/dump.pgdump'), 'utf8')).toBe('mine');
    expect(fs.readdirSync(path.join(target, 'database'))).toEqual(['dump.pgdump']);
  });
});

function flipBit(file: string): void {
  const bytes = fs.readFileSync(file);
  bytes[600_000] = (bytes[600_000] ?? 0) ^ 4;
  fs.writeFileSync(file, bytes);
}
