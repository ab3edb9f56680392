import { generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { UnsealerSource } from '../../../agent/restore/command-unsealers.ts';
import type { HistoryStore } from '../../../receiver/serve/restore-history.ts';
import type { HeldCopy } from '../../../receiver/store/readable-content.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';
import { MemoryHistory } from '../../support/memory-history.ts';
import { ReceiverDirectory, type TreeEntry } from '../../support/receiver-directory.ts';
import { createSealedKeys, type SealedKeys, SealedRestoreBench } from '../../support/sealed-restore-bench.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { sha256 } from '../../support/store-fixture.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

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

let keys: SealedKeys;
let strange: SealedKeys;
let bench: SealedRestoreBench;

beforeAll(async () => {
  keys = await createSealedKeys('owner');
  strange = await createSealedKeys('other');
});

beforeEach(() => {
  bench = new SealedRestoreBench(temporaryDirectory(), keys);
});

afterEach(() => bench.close());

it('restores the newest version with modes, links and content spread over many packs, each opened once', async () => {
  await bench.data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  await bench.data.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
  const opened: string[] = [];
  const result = await bench.restore({ unsealers: noting(bench.unsealers(keys.pair), opened) });
  bench.expectTree(secondTree);
  expect(opened.length).toBeGreaterThan(3);
  expect(new Set(opened).size).toBe(opened.length);
  expect(result.folders[0]).toMatchObject({
    files: 4,
    failed: [],
    version: {
      number: 2,
      createdAt: '2026-11-21T09:40:00.000Z',
      signer: bench.data.agent,
      signerVerified: true,
    },
  });
  expect(fs.readdirSync(path.join(bench.target, 'database')).sort()).toEqual(['dump.pgdump', 'empty', 'etc']);
  const again = await bench.restore();
  expect(again.folders[0]).toMatchObject({ files: 0, skipped: 4, failed: [] });
});

it('takes the version whose files came last where journal, database and the clock of the server are lost', async () => {
  await bench.close();
  const deviceKey = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
  bench = new SealedRestoreBench(temporaryDirectory(), keys, 1_500_000, { deviceKey });
  await bench.data.addVersion(firstTree, '2099-11-21T08:40:00.000Z');
  const between = Date.now();
  await until('the clock of the file system goes on', () => Date.now() > between + 50);
  // an agent that has lost its database begins to count anew
  const again = new ReceiverDirectory(path.join(bench.directory, 'data'), {
    folder: 'database',
    sealer: keys.sealer,
    blockBytes: 50_000,
    packBytes: 1_500_000,
    deviceKey,
  });
  again.epoch = '00000000000000cd';
  await again.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
  expect((await bench.restore()).folders[0]?.version?.epoch).toBe(again.epoch);
  bench.expectTree(secondTree);
  fs.rmSync(bench.target, { recursive: true });
  expect((await bench.restore({ at: between + 25 })).folders[0]?.version?.epoch).not.toBe(again.epoch);
  bench.expectTree(firstTree);
});

it('brings back only what --path names, and changes nothing on the receiver', async () => {
  await bench.data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  await bench.data.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
  await bench.serve();
  const held = filesOf(path.join(bench.directory, 'data'));
  await bench.restore({ paths: ['etc/'] });
  expect(bench.restoredNames()).toEqual(['etc', 'etc/.env.production', 'etc/current']);
  await bench.restore();
  bench.expectTree(secondTree);
  expect(filesOf(path.join(bench.directory, 'data'))).toEqual(held);
});

it('says that the signer is unverified where nobody named the agent', async () => {
  await bench.data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  const result = await bench.restore({ agentId: null });
  expect(bench.notes.join('\n')).toContain('signer unverified');
  expect(bench.notes.join('\n')).toContain(bench.data.agent);
  expect(result.folders[0]?.version?.signerVerified).toBe(false);
  bench.expectTree(firstTree);
});

it('takes an older version that is complete, and says so', async () => {
  await bench.data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  const before = new Set(bench.packFiles());
  await bench.data.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
  fs.rmSync(bench.packFiles().find((file) => !before.has(file)) ?? '');
  const result = await bench.restore();
  expect(result.folders[0]?.version?.number).toBe(1);
  expect(bench.notes.join('\n')).toContain('lacks a pack');
  bench.expectTree(firstTree);
});

it('goes on with other folders where the key of one is not there', async () => {
  await bench.data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  const result = await bench.restore({ unsealers: bench.unsealers(strange.pair), folders: [] });
  expect(result.folders).toMatchObject([{ id: 'database', files: 0, failed: [{ code: 'KEY_WRONG' }] }]);
});

describe('who restores everything gets the other folders', () => {
  let media: [string, HistoryStore];

  beforeEach(async () => {
    await bench.data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
    const source = path.join(bench.directory, 'media');
    fs.mkdirSync(source);
    fs.writeFileSync(path.join(source, 'picture.png'), 'a picture');
    const history = new MemoryHistory('media');
    history.putTree(1, source);
    media = ['media', { ...history.folder(), copies: (hash) => copiesIn(history, hash) }];
  });

  it.each<[string, string, () => Promise<void>]>([
    ['a pack is missing', 'CONTENT_GONE', async () => fs.rmSync(bench.packFiles()[1] ?? '')],
    ['a pack is damaged', 'PACK_CORRUPT', damageLargePacks],
    ['a file is in the way', 'RESTORE_CONFLICT', async () => putInTheWay()],
  ])('where %s, and is told of it', async (_, code, spoil) => {
    await spoil();
    const before = bench.restoredNames();
    const result = await bench.restore({ folders: [], beside: [media] });
    expect(result.folders.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toMatchObject([
      { id: 'database', files: 0, failed: [{ path: '', code }] },
      { id: 'media', files: 1, failed: [] },
    ]);
    expect(bench.restoredNames()).toEqual(before);
    expect(fs.readFileSync(path.join(bench.target, 'media/picture.png'), 'utf8')).toBe('a picture');
    // who names the folder has nothing else to get
    await expect(bench.restore()).rejects.toMatchObject({ code });
  });

  it('but is told that there was nothing at all, or that nothing matches, and then no directory is made', async () => {
    const everything = { folders: [], beside: [media] };
    for (const unsealers of [null, bench.unsealers(keys.pair)]) {
      await expect(bench.restore({ ...everything, unsealers, at: 0 })).rejects.toMatchObject({
        code: 'RESTORE_NOTHING_FOUND',
        message: 'nothing was held in the state of 1970-01-01T00:00:00Z',
      });
    }
    for (const folders of [everything, {}]) {
      await expect(bench.restore({ ...folders, paths: ['nothing'] })).rejects.toMatchObject({
        code: 'RESTORE_NOTHING_FOUND',
        message: expect.stringMatching(/^nothing matches in /) as string,
      });
    }
    expect(fs.existsSync(bench.target)).toBe(false);
  });

  it('but not where a record is not of the agent', async () => {
    await addForgedVersion();
    const everything = bench.restore({ folders: [], beside: [media] });
    await expect(everything).rejects.toMatchObject({ code: 'RECORD_FORGED' });
  });
});

async function damageLargePacks(): Promise<void> {
  await bench.serve();
  for (const file of bench.packFiles().filter((file) => fs.statSync(file).size > 1_000_000)) flipBit(file);
}

/** The newest version is one that another device has signed. */
async function addForgedVersion(): Promise<void> {
  const other = new ReceiverDirectory(path.join(bench.directory, 'other'), {
    folder: 'database',
    sealer: keys.sealer,
    blockBytes: 50_000,
    packBytes: 1_500_000,
    deviceKey: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
  });
  await other.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
  fs.cpSync(other.folderDirectory, bench.data.folderDirectory, { recursive: true });
}

function putInTheWay(): void {
  fs.mkdirSync(path.join(bench.target, 'database'), { recursive: true });
  fs.writeFileSync(path.join(bench.target, 'database/dump.pgdump'), 'mine');
}

function copiesIn({ contents }: MemoryHistory, hash: Buffer): HeldCopy[] {
  const content = contents.get(hash.toString('hex'));
  if (content === undefined) return [];
  const read = (offset: number, length: number): Buffer => content.subarray(offset, offset + length);
  return [() => ({ size: content.length, read, close: () => {} })];
}

describe('what fails leaves nothing half-restored', () => {
  const fails = async (
    code: string,
    options: Parameters<SealedRestoreBench['restore']>[0] = {},
  ): Promise<void> => {
    await expect(bench.restore(options)).rejects.toMatchObject({ code });
    bench.expectNothingRestored();
  };

  beforeEach(async () => {
    await bench.data.addVersion(firstTree, '2026-11-21T08:40:00.000Z');
  });

  it.each([{ number: 7 }, { epoch: '00000000000000cd' }, { createdAt: '2026-11-21T09:40:00.001Z' }])(
    'a root message that tells %o and belongs to another version',
    async (told) => {
      bench.data.rootTells = told;
      await bench.data.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
      await fails('RECORD_FORGED');
    },
  );

  it('a manifest that has another hash than its root message tells', async () => {
    bench.data.rootTells = { sha256: '0'.repeat(64) };
    await bench.data.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
    await fails('MANIFEST_INVALID');
  });

  it('another private key', async () => {
    await fails('KEY_WRONG', { unsealers: bench.unsealers(strange.pair) });
  });

  it('a wrong passphrase', async () => {
    await fails('KEY_WRONG', { unsealers: bench.unsealers(keys.pair, 'wrong') });
  });

  it('another agent than the one that was named', async () => {
    await fails('RECORD_FORGED', {
      agentId: 'P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2' as DeviceId,
    });
  });

  it('a missing pack', async () => {
    fs.rmSync(bench.packFiles()[1] ?? '');
    await fails('CONTENT_GONE');
  });

  it('a flipped bit, found by the receiver', async () => {
    await damageLargePacks();
    await fails('PACK_CORRUPT');
  });

  it('a flipped bit that the receiver hides', async () => {
    await bench.serve();
    const file = bench.packFiles().find((one) => fs.statSync(one).size > 1_000_000) ?? '';
    flipBit(file);
    const hash = sha256(fs.readFileSync(file));
    const held = await bench.serve();
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
    const sizes = bench.packFiles().map((file) => ({ file, size: fs.statSync(file).size }));
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
    await bench.serve();
    fs.mkdirSync(path.join(bench.target, 'database'), { recursive: true });
    fs.writeFileSync(path.join(bench.target, 'database/mine'), 'mine');
    const large = bench.packFiles().filter((file) => fs.statSync(file).size > 1_000_000);
    flipBit(large.at(-1) ?? '');
    await expect(bench.restore()).rejects.toMatchObject({ code: 'PACK_CORRUPT' });
    expect(fs.readdirSync(path.join(bench.target, 'database'))).toEqual(['mine']);
  });

  it('a forged record', async () => {
    await addForgedVersion();
    await fails('RECORD_FORGED');
  });

  it('a record of another version under its name', async () => {
    await bench.data.addVersion(secondTree, '2026-11-21T09:40:00.000Z');
    const versions = path.join(bench.data.folderDirectory, 'versions');
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
    const folder = path.join(path.dirname(bench.data.folderDirectory), 'secrets');
    fs.cpSync(bench.data.folderDirectory, folder, { recursive: true });
    await fails('RECORD_FORGED', { folder: 'secrets' });
  });

  it('a file that is in the way', async () => {
    putInTheWay();
    await expect(bench.restore()).rejects.toMatchObject({ code: 'RESTORE_CONFLICT' });
    expect(fs.readFileSync(path.join(bench.target, 'database/dump.pgdump'), 'utf8')).toBe('mine');
    expect(fs.readdirSync(path.join(bench.target, 'database'))).toEqual(['dump.pgdump']);
  });
});

/** The same; the hash of each pack that is opened goes to `opened`. */
function noting(source: UnsealerSource, opened: string[]): UnsealerSource {
  return {
    open: async (sealedTo) => {
      const thread = await source.open(sealedTo);
      const unsealPack = thread.unsealPack.bind(thread);
      thread.unsealPack = async (hash, pack) => {
        opened.push(hash);
        return unsealPack(hash, pack);
      };
      return thread;
    },
    close: async () => source.close(),
  };
}

/** What lies below a directory: content, mode and time of change. */
function filesOf(directory: string): string[] {
  return fs
    .readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => path.join(directory, name))
    .map((file) => {
      const stats = fs.lstatSync(file);
      const content = stats.isFile() ? sha256(fs.readFileSync(file)).toString('hex') : '';
      return `${file} ${stats.mode} ${stats.ctimeMs} ${content}`;
    })
    .sort();
}

function flipBit(file: string): void {
  const bytes = fs.readFileSync(file);
  bytes[600_000] = (bytes[600_000] ?? 0) ^ 4;
  fs.writeFileSync(file, bytes);
}
