import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ChunkListBuilder } from '../../../shared/chunking/chunk-list.ts';
import { fileChunking } from '../../../shared/chunking/chunking-parameters.ts';
import { encodeMessage, type Message } from '../../../shared/protocol/codec.ts';
import type { Entries } from '../../../shared/protocol/entries.ts';
import { parseTypedPath } from '../../../shared/records/relative-path.ts';
import {
  HostileReceiver,
  listedFile,
  type ListedEntry,
  receiverHello,
} from '../../support/hostile-receiver.ts';
import { restoreFrom } from '../../support/restore-bench.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { sha256 } from '../../support/store-fixture.ts';

const mib = 1024 * 1024;
let bench: string;
let to: string;
let outside: string;

beforeEach(() => {
  bench = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-hostile-'));
  to = path.join(bench, 'to');
  outside = path.join(bench, 'outside');
  fs.mkdirSync(outside);
  fs.writeFileSync(path.join(outside, 'precious'), 'precious');
});
afterEach(() => {
  expect(fs.readdirSync(outside)).toEqual(['precious']);
  expect(fs.readFileSync(path.join(outside, 'precious'), 'utf8')).toBe('precious');
  fs.rmSync(bench, { recursive: true, force: true });
});

const content = (text: string): Buffer => Buffer.from(text);
const symlink = (name: string, target: string): ListedEntry => ({
  path: parseTypedPath(name),
  state: { kind: 'symlink', target: Buffer.from(target), mtimeNs: 1n, uid: 0, gid: 0 },
});

const nothingWritten = (): void => {
  const names = fs.existsSync(to) ? (fs.readdirSync(to, { recursive: true }) as string[]) : [];
  expect(names.filter((name) => name !== 'media')).toEqual([]);
};

it.each(['../outside/x', '/etc/xxxxxxx', 'aaa/../../x', 'aaaa//bbbbbb', 'aaaa/./bbbbb', 'aaaa\0bbbbbbb'])(
  'ends the link when an entry is called %j',
  async (name) => {
    const honest = 'x'.repeat(name.length);
    const receiver = new HostileReceiver();
    receiver.add(honest, content('x'));
    receiver.answerTo = (message) => {
      if (message.type !== 'browse' || message.folder === null) return null;
      const bytes = encodeMessage(receiver.page(message));
      const at = bytes.indexOf(honest);
      bytes.write(name, at, 'latin1');
      return [bytes];
    };
    await expect(restoreFrom(receiver, { to })).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' });
    nothingWritten();
  },
);

it('ends the link when a folder is called like a way out', async () => {
  const receiver = new HostileReceiver();
  receiver.folders = [{ id: 'xx', kind: 'mirror', files: 1, bytes: 1 }];
  receiver.answerTo = (message) => {
    if (message.type !== 'browse') return null;
    const bytes = encodeMessage(receiver.page(message));
    bytes.write('..', bytes.indexOf('xx'), 'latin1');
    return [bytes];
  };
  await expect(restoreFrom(receiver, { to })).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' });
  nothingWritten();
});

it('gives no name to content with another hash, small or large, and restores the rest', async () => {
  const receiver = new HostileReceiver();
  const [small, large, right] = [content('small'), seededBytes('large', 3 * mib), content('right')];
  receiver.add('small', small);
  receiver.add('large', large);
  receiver.add('right', right);
  receiver.contents.set(sha256(small).toString('hex'), content('SMALL'));
  // A chunk list that is consistent with its content, which is not the announced one.
  const other = seededBytes('other', 3 * mib);
  receiver.contents.set(sha256(large).toString('hex'), other);
  receiver.answerTo = (message) => {
    if (message.type !== 'wantChunks') return null;
    const builder = new ChunkListBuilder(fileChunking);
    builder.update(other);
    const chunks = builder.finish();
    const { requestId, from } = message;
    return [{ type: 'chunks', requestId, chunking: fileChunking.name, from, total: chunks.length, chunks }];
  };
  const result = await restoreFrom(receiver, { to });
  expect(result.folders[0]?.failed.map(({ path: name, code }) => `${code} ${name}`).sort()).toEqual([
    'CONTENT_MISMATCH large',
    'CONTENT_MISMATCH small',
  ]);
  expect(fs.readdirSync(path.join(to, 'media'))).toEqual(['right']);
});

it('never writes through a link of the same listing', async () => {
  const receiver = new HostileReceiver();
  receiver.entries.push(symlink('way', outside), symlink('deep/way', '../../../outside'));
  receiver.add('way/precious', content('overwritten'));
  receiver.add('deep/way/new', content('planted'));
  const result = await restoreFrom(receiver, { to, inPlace: true });
  expect(result.folders[0]?.failed.map(({ path: name, code }) => `${code} ${name}`).sort()).toEqual([
    'PATH_INVALID deep/way/new',
    'PATH_INVALID way/precious',
  ]);
  expect(fs.readlinkSync(path.join(to, 'media/way'))).toBe(outside);
});

it.each([false, true])('never writes through a link of an earlier run (--in-place: %s)', async (inPlace) => {
  const receiver = new HostileReceiver();
  receiver.entries.push(symlink('way', outside), symlink('precious', path.join(outside, 'precious')));
  await restoreFrom(receiver, { to });
  receiver.entries = [];
  receiver.add('way/precious', content('overwritten'));
  receiver.add('way/deeper/new', content('planted'));
  receiver.add('precious', content('overwritten'));
  const result = await restoreFrom(receiver, { to, inPlace });
  const codes = result.folders[0]?.failed.map(({ path: name, code }) => `${code} ${name}`).sort();
  const below = ['RESTORE_CONFLICT way/deeper/new', 'RESTORE_CONFLICT way/precious'];
  // The link itself is replaced in place; never what it leads to.
  expect(codes).toEqual(inPlace ? below : ['RESTORE_CONFLICT precious', ...below]);
  if (inPlace) expect(fs.readFileSync(path.join(to, 'media/precious'), 'utf8')).toBe('overwritten');
});

it('neither follows nor keeps a link at a temporary name', async () => {
  const receiver = new HostileReceiver();
  const large = seededBytes('large', 2 * mib);
  receiver.add('small', content('small'));
  receiver.add('large', large);
  const media = path.join(to, 'media');
  const plant = (name: string, bytes: Buffer): void => {
    const hash = sha256(Buffer.concat([Buffer.from(name), Buffer.of(0), sha256(bytes)])).toString('hex');
    fs.symlinkSync(
      path.join(outside, 'precious'),
      path.join(media, `.mastokeep-restore.${hash.slice(0, 32)}`),
    );
  };
  fs.mkdirSync(media, { recursive: true });
  plant('small', content('small'));
  plant('large', large);
  receiver.answerTo = (message) => {
    if (message.type !== 'wantChunks') return null;
    const builder = new ChunkListBuilder(fileChunking);
    builder.update(large);
    const chunks = builder.finish();
    const { requestId, from } = message;
    return [{ type: 'chunks', requestId, chunking: fileChunking.name, from, total: chunks.length, chunks }];
  };
  const result = await restoreFrom(receiver, { to });
  expect(result.folders[0]).toMatchObject({ files: 2, failed: [] });
  expect(fs.readdirSync(media).sort()).toEqual(['large', 'small']);
});

const paged = (page: (asked: number, at: number | null) => Pick<Entries, 'entries' | 'next'>) => {
  const receiver = new HostileReceiver();
  receiver.answerTo = (message) =>
    message.type !== 'browse' || message.folder === null
      ? null
      : [{ ...receiver.page(message), ...page(receiver.asked, message.at) }];
  return receiver;
};

it.each([
  [
    'the same page for ever',
    paged(() => ({ entries: [listedFile('a', content('a'))], next: parseTypedPath('a') })),
  ],
  ['empty pages for ever', paged((asked) => ({ entries: [], next: parseTypedPath(`a${asked}`) }))],
  [
    'paths that fall',
    paged(() => ({ entries: [listedFile('b', content('a')), listedFile('a', content('a'))], next: null })),
  ],
  [
    'a path twice',
    paged(() => ({ entries: [listedFile('a', content('a')), listedFile('a', content('b'))], next: null })),
  ],
  [
    'a next page from elsewhere',
    paged(() => ({ entries: [listedFile('a', content('a'))], next: parseTypedPath('b') })),
  ],
])('ends the link on %s', async (_, receiver) => {
  await expect(restoreFrom(receiver, { to })).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' });
  expect(receiver.asked).toBeLessThan(5);
  nothingWritten();
});

it.each([
  ['content', [{ type: 'content', requestId: 99, parts: [{ item: 0, offset: 0, bytes: content('x') }] }]],
  ['entries', [{ type: 'entries', requestId: 99, folders: null, entries: [], next: null, at: 1 }]],
  ['gone', [{ type: 'gone', requestId: 99, item: 0, reason: 'vanished' }]],
  [
    'a want',
    [
      {
        type: 'want',
        requestId: 1,
        folder: 'media',
        items: [{ path: parseTypedPath('a'), hash: Buffer.alloc(32), offset: 0, length: 1 }],
      },
    ],
  ],
  [
    'a browse',
    [{ type: 'browse', requestId: 1, folder: null, at: null, between: null, after: null, limit: 1 }],
  ],
  ['a second hello', [receiverHello]],
  ['garbage', [Buffer.from('garbage')]],
] satisfies [string, (Message | Buffer)[]][])(
  'ends the link on %s that nobody asked for',
  async (_, answers) => {
    const receiver = new HostileReceiver();
    receiver.answerTo = (message) => (message.type === 'browse' ? answers : null);
    await expect(restoreFrom(receiver, { to })).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' });
  },
);

it.each([
  [{ ...receiverHello, deviceRole: 'agent' as const }],
  [{ ...receiverHello, protocolVersions: [7] }],
  [{ type: 'gone', requestId: 1, item: 0, reason: 'vanished' } as const],
])('wants a receiver of its protocol version (%#)', async (greeting: Message) => {
  const receiver = new HostileReceiver();
  receiver.greeting = greeting;
  await expect(restoreFrom(receiver, { to })).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' });
});

it('answers a refusal with its code, and asks for room that no disk has before it fetches', async () => {
  const refusing = new HostileReceiver();
  refusing.answerTo = () => [
    { type: 'refuse', folder: null, code: 'ROLE_REFUSED', message: 'no', hint: null },
  ];
  await expect(restoreFrom(refusing, { to })).rejects.toMatchObject({ code: 'ROLE_REFUSED' });
  const boasting = new HostileReceiver();
  boasting.entries = [listedFile('huge', content('x'))];
  const [huge] = boasting.entries;
  if (huge?.state.kind === 'file') huge.state.size = 2 ** 52;
  await expect(restoreFrom(boasting, { to })).rejects.toMatchObject({ code: 'TARGET_FULL' });
  nothingWritten();
});
