import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { loadRecipients } from '../../shared/sealing/recipient.ts';
import { restoreByHandText } from '../../shared/sealing/restore-by-hand.ts';
import { Sealer } from '../../shared/sealing/sealer.ts';
import { GpgHome } from '../support/gpg-home.ts';
import { ReceiverDirectory, type TreeEntry } from '../support/receiver-directory.ts';

const scriptLinesMax = 60;

let gpg: GpgHome;
let directory: string;
let pristine: string;
let script: string;
let folder: string;
let versions: string[];
/** Versions that are sealed and signed as they should be, and tell what nobody should believe. */
const wrong = new Map<string, string>();
/** One whose files belong to somebody. */
let owned: string;
let attempts = 0;

const blob = randomBytes(300_000);
const byteName = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
const file = (name: string, content: Buffer, mode = 0o644): TreeEntry => ({
  type: 'file',
  path: name,
  mode,
  content,
});

const firstTree: TreeEntry[] = [
  { type: 'directory', path: 'etc', mode: 0o750 },
  file('etc/.env.production', Buffer.from('SECRET_KEY_BASE=0123456789\n'), 0o600),
  file('etc/empty', Buffer.alloc(0), 0o444),
  file('mastodon.dump', Buffer.concat([blob, Buffer.alloc(50_000, 'x'), blob])),
  file('odd/\xff\xfe not utf-8', Buffer.from('bytes')),
  file(byteName('odd/ü "quoted" \\ back\n line\u2028'), Buffer.from('text')),
  file('bin/run', Buffer.from('#!/bin/sh\n'), 0o4755),
  { type: 'directory', path: 'kept empty', mode: 0o711 },
  { type: 'directory', path: 'sealed', mode: 0o555 },
  file('sealed/inside', Buffer.from('read only directory')),
  { type: 'symlink', path: 'current', target: 'mastodon.dump' },
  { type: 'symlink', path: 'dangling', target: '/no/where/\xff' },
];

const secondTree: TreeEntry[] = [
  file('mastodon.dump', Buffer.concat([blob.subarray(0, 200_000), Buffer.from('new rows'), blob])),
  file('etc/.env.production', Buffer.from('SECRET_KEY_BASE=changed\n'), 0o600),
];

beforeAll(async () => {
  gpg = new GpgHome();
  gpg.generateKey('owner@example.org', 'ed25519');
  const recipients = await loadRecipients([
    { name: 'owner', content: gpg.run(['--export', 'owner@example.org']) },
  ]);
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mk-by-hand-'));
  pristine = path.join(directory, 'pristine');
  const receiver = new ReceiverDirectory(pristine, {
    folder: 'database',
    sealer: await Sealer.toRecipients(recipients),
    blockBytes: 10_000,
    packBytes: 120_000,
  });
  versions = [
    await receiver.addVersion(firstTree, '2026-11-21T08:40:00.000Z'),
    await receiver.addVersion(secondTree, '2026-11-21T09:40:00.000Z'),
    await receiver.addVersion(secondTree.slice(0, 1), '2026-11-21T10:40:00.000Z'),
  ];
  const lies: [string, Partial<Pick<ReceiverDirectory, 'rootTells' | 'fileTells'>>][] = [
    ['another time than its record', { rootTells: { createdAt: '2026-11-21T11:40:00.001Z' } }],
    ['another hash of its manifest', { rootTells: { sha256: '0'.repeat(64) } }],
    ['another hash of a file', { fileTells: { hash: Buffer.alloc(32) } }],
    ['a path that climbs', { fileTells: { path: '../planted' as RelativePath } }],
    ['an absolute path', { fileTells: { path: path.join(directory, 'planted') as RelativePath } }],
  ];
  const small = [file('small', Buffer.from('small'))];
  for (const [name, lie] of lies) {
    Object.assign(receiver, { rootTells: {}, fileTells: {}, ...lie });
    wrong.set(name, await receiver.addVersion(small, '2026-11-21T11:40:00.000Z'));
  }
  Object.assign(receiver, { rootTells: {}, fileTells: { uid: 1234, gid: 2345 } });
  owned = await receiver.addVersion(small, '2026-11-21T12:40:00.000Z');
  folder = path.relative(pristine, receiver.folderDirectory);
  fs.writeFileSync(path.join(pristine, 'RESTORE.txt'), restoreByHandText);
  // the very command that the text gives
  script = path.join(directory, 'restore.py');
  const extract = `sed -n '/^~~~python/,/^~~~$/p' RESTORE.txt | sed '1d;$d' > ${script}`;
  expect(restoreByHandText).toContain(
    "sed -n '/^~~~python/,/^~~~$/p' RESTORE.txt | sed '1d;$d' > restore.py",
  );
  expect(spawnSync('sh', ['-c', extract], { cwd: pristine }).status).toBe(0);
});

afterAll(() => {
  gpg.remove();
  fs.rmSync(directory, { recursive: true, force: true });
});

let data: string;
beforeEach(() => {
  attempts += 1;
  data = path.join(directory, `data-${attempts}`);
  fs.cpSync(pristine, data, { recursive: true });
});

function restore(
  version: string,
  from = folder,
  command = `gpg --homedir ${gpg.directory}`,
): { status: number | null; stderr: string; target: string } {
  const target = path.join(directory, `restored-${attempts}`);
  const ran = spawnSync('python3', [script, path.join(data, from), version, target], {
    env: { ...process.env, GPG: command },
    encoding: 'utf8',
  });
  return { status: ran.status, stderr: ran.stderr, target };
}

function expectNothingLeft(target: string): void {
  expect(fs.readdirSync(directory).filter((name) => name.startsWith(path.basename(target)))).toEqual([]);
}

it('is the text of docs/restore-by-hand.md, with a script of at most 60 lines', () => {
  const document = new URL('../../docs/restore-by-hand.md', import.meta.url);
  expect(fs.readFileSync(document, 'utf8')).toBe(restoreByHandText);
  const lines = fs.readFileSync(script, 'utf8').trimEnd().split('\n');
  expect(lines[0]).toBe('#!/usr/bin/env python3');
  expect(lines.length).toBeLessThanOrEqual(scriptLinesMax);
});

it('rebuilds every version from the plain files: bytes, names, modes, times, links', () => {
  const trees = [firstTree, secondTree, secondTree.slice(0, 1)];
  for (const [position, version] of versions.entries()) {
    attempts += 1;
    const { status, stderr, target } = restore(version);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const tree = trees[position] ?? [];
    expect(readTree(target, tree)).toEqual(expectedTree(tree));
    const dump = fs.statSync(path.join(target, 'mastodon.dump'), { bigint: true });
    expect(dump.mtimeNs).toBe(
      BigInt(Date.parse(`2026-11-21T${String(8 + position).padStart(2, '0')}:40:00.000Z`)) * 1_000_000n +
        123_456_000n,
    );
  }
  // the second version refers to packs of the first
  const [first, second] = versions.map((version) => packsOf(version));
  expect(first?.filter((pack) => second?.includes(pack)).length).toBeGreaterThanOrEqual(2);
});

it('gives the directory its name only when all of it is there', () => {
  const looking = path.join(directory, 'looking');
  fs.writeFileSync(looking, `test ! -e ${directory}/restored-${attempts} || exit 9\nexec "$@"\n`);
  const command = `sh ${looking} gpg --homedir ${gpg.directory}`;
  const { stderr, target } = restore(versions[0] ?? '', folder, command);
  expect(stderr).toBe('');
  expect(readTree(target, firstTree)).toEqual(expectedTree(firstTree));
});

function packsOf(version: string): string[] {
  const record = JSON.parse(
    fs.readFileSync(path.join(data, folder, 'versions', `${version}.json`), 'utf8'),
  ) as { packs: [string, number][] };
  return record.packs.map(([hash]) => path.join(data, folder, 'packs', `${hash}.pgp`));
}

function packOfVersion(version: string): string {
  return packsOf(version)[0] ?? '';
}

it('leaves nothing when a bit of a pack is flipped', () => {
  const pack = packOfVersion(versions[1] ?? '');
  const bytes = fs.readFileSync(pack);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  fs.writeFileSync(pack, bytes);
  const { status, stderr, target } = restore(versions[1] ?? '');
  expect(status).toBe(1);
  expect(stderr).toContain('is damaged');
  expectNothingLeft(target);
});

it('leaves nothing when a pack is missing', () => {
  fs.rmSync(packOfVersion(versions[1] ?? ''));
  const { status, stderr, target } = restore(versions[1] ?? '');
  expect(status).toBe(1);
  expect(stderr).toContain('is missing');
  expectNothingLeft(target);
});

it('refuses a record that the agent did not sign', () => {
  const record = path.join(data, folder, 'versions', `${versions[1] ?? ''}.json`);
  fs.writeFileSync(record, fs.readFileSync(record, 'utf8').replace('09:40', '11:40'));
  const { status, stderr, target } = restore(versions[1] ?? '');
  expect(status).toBe(1);
  expect(stderr).toContain('openssl dgst failed');
  expectNothingLeft(target);
});

it('refuses a record of another folder', () => {
  const moved = path.join(path.dirname(folder), 'secrets');
  fs.renameSync(path.join(data, folder), path.join(data, moved));
  const { status, stderr, target } = restore(versions[0] ?? '', moved);
  expect(status).toBe(1);
  expect(stderr).toContain('the version is of another folder');
  expectNothingLeft(target);
});

it('refuses a record that names another agent than the key that signed it', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const record = path.join(data, folder, 'versions', `${versions[1] ?? ''}.json`);
  fs.writeFileSync(`${record}.sig`, sign('sha256', fs.readFileSync(record), privateKey));
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  fs.writeFileSync(path.join(data, path.dirname(folder), 'agent.pem'), pem);
  const { status, stderr, target } = restore(versions[1] ?? '');
  expect(status).toBe(1);
  expect(stderr).toContain('agent.pem is of another agent');
  expectNothingLeft(target);
});

it.each(['0000000003-00000000000000ab', '0000000002-00000000000000cd'])(
  'refuses an older version under the name %s',
  (name) => {
    const records = path.join(data, folder, 'versions');
    for (const suffix of ['.json', '.json.sig'])
      fs.copyFileSync(path.join(records, (versions[1] ?? '') + suffix), path.join(records, name + suffix));
    const { status, stderr, target } = restore(name);
    expect(status).toBe(1);
    expect(stderr).toContain('the version has the name of another one');
    expectNothingLeft(target);
  },
);

it.each([
  ['another time than its record', 'the root message is of another version'],
  ['another hash of its manifest', 'the manifest is damaged'],
  ['another hash of a file', 'a restored file is damaged'],
  ['a path that climbs', 'a path climbs'],
  ['an absolute path', 'a path climbs'],
])('refuses a version that tells %s, and leaves nothing', (lie, problem) => {
  const { status, stderr, target } = restore(wrong.get(lie) ?? '');
  expect(status).toBe(1);
  expect(stderr).toContain(problem);
  expectNothingLeft(target);
  expect(fs.existsSync(path.join(directory, 'planted'))).toBe(false);
});

it.runIf(process.getuid?.() === 0)('gives back owners as root', () => {
  const { stderr, target } = restore(owned);
  expect(stderr).toBe('');
  expect(fs.statSync(path.join(target, 'small'))).toMatchObject({ uid: 1234, gid: 2345 });
});

it('leaves nothing when gpg has no key', () => {
  const target = path.join(directory, `restored-${attempts}`);
  const stranger = new GpgHome();
  try {
    const ran = spawnSync('python3', [script, path.join(data, folder), versions[0] ?? '', target], {
      env: { ...process.env, GPG: `gpg --homedir ${stranger.directory}` },
      encoding: 'utf8',
    });
    expect(ran.status).toBe(1);
    expect(ran.stderr).toContain('failed');
    expectNothingLeft(target);
  } finally {
    stranger.remove();
  }
});

type Found = { type: string; mode?: number; content?: string; target?: string };

function expectedTree(tree: readonly TreeEntry[]): Map<string, Found> {
  const found = new Map<string, Found>();
  for (const entry of tree) {
    if (entry.type === 'symlink') found.set(entry.path, { type: 'symlink', target: entry.target });
    else if (entry.type === 'directory') found.set(entry.path, { type: 'directory', mode: entry.mode });
    else found.set(entry.path, { type: 'file', mode: entry.mode, content: entry.content.toString('base64') });
  }
  return found;
}

/** Everything below `root`; directories only where the tree names them with a mode. */
function readTree(root: string, tree: readonly TreeEntry[]): Map<string, Found> {
  const found = new Map<string, Found>();
  const named = new Set(tree.filter((entry) => entry.type === 'directory').map((entry) => entry.path));
  const walk = (directoryBytes: Buffer, prefix: string): void => {
    for (const name of fs.readdirSync(directoryBytes, { encoding: 'buffer' })) {
      const full = Buffer.concat([directoryBytes, Buffer.from('/'), name]);
      const relative = prefix + name.toString('latin1');
      const stat = fs.lstatSync(full);
      const mode = stat.mode & 0o7777;
      if (stat.isSymbolicLink()) {
        found.set(relative, {
          type: 'symlink',
          target: fs.readlinkSync(full, { encoding: 'buffer' }).toString('latin1'),
        });
      } else if (stat.isDirectory()) {
        if (named.has(relative)) found.set(relative, { type: 'directory', mode });
        walk(full, `${relative}/`);
      } else {
        found.set(relative, { type: 'file', mode, content: fs.readFileSync(full).toString('base64') });
      }
    }
  };
  walk(Buffer.from(root), '');
  return found;
}
