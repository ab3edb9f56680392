import { expect, it } from 'vitest';
import { PullSession } from '../../../receiver/pull/pull-session.ts';
import { RestoreLeases, restoreLeaseIdleMs } from '../../../receiver/serve/restore-lease.ts';
import { serveRestore } from '../../../receiver/serve/restore-session.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';
import { silentLogger } from '../../../shared/io/logger.ts';
import type { Channel } from '../../../shared/link/channel.ts';
import type { PeerGrant } from '../../../shared/link/peer.ts';
import { decodeMessage, encodeMessage, type Message } from '../../../shared/protocol/codec.ts';
import { parseTypedPath } from '../../../shared/records/relative-path.ts';
import { createChannelPair } from '../../support/channel-pair.ts';
import { contentOf, type HistoryEntry, MemoryHistory } from '../../support/memory-history.ts';
import { noHeldPoints } from '../../support/no-held-points.ts';
import { sha256 } from '../../support/store-fixture.ts';

const [ours, theirs] = ['OURS' as DeviceId, 'THEIRS' as DeviceId];
const hello = (deviceRole: 'agent' | 'restorer'): Message => ({
  type: 'hello',
  protocolVersions: [1],
  program: 'test',
  programVersion: '1',
  deviceRole,
});
const browse: Message & { type: 'browse' } = {
  type: 'browse',
  requestId: 1,
  folder: null,
  at: null,
  between: null,
  after: null,
  limit: 10,
};

function history(text: string): MemoryHistory {
  const made = new MemoryHistory('media');
  const content = Buffer.from(text);
  made.contents.set(sha256(content).toString('hex'), content);
  const state = {
    kind: 'file',
    size: content.length,
    mtimeNs: 1n,
    mode: 0o600,
    uid: 0,
    gid: 0,
    hash: sha256(content),
  };
  made.put(1, [{ path: parseTypedPath(text), state } as HistoryEntry]);
  return made;
}
const histories = new Map([
  [ours, [history('ours')]],
  [theirs, [history('theirs')]],
]);

/**
 * Sends the messages to a receiver that serves restores and gives what it says, its hello apart, until it ends or has
 * answered something more, which is left out.
 */
async function converse(grant: PeerGrant, messages: readonly Message[]): Promise<Message[]> {
  const [restorer, served] = createChannelPair({ firstGrant: grant, secondGrant: grant });
  void serveRestore({
    channel: served,
    openHistory: async (agentId) => {
      const own = histories.get(agentId) ?? [];
      return { folders: own.map((folder) => folder.folder()), content: contentOf(own), points: noHeldPoints };
    },
    leases: new RestoreLeases(() => 0),
    now: () => 10,
    programVersion: 'test',
    logger: silentLogger,
  });
  const last: Message = { ...browse, requestId: 99 };
  for (const message of [...messages, last]) await restorer.send(encodeMessage(message)).catch(() => {});
  const isLast = (message: Message): boolean => message.type === 'entries' && message.requestId === 99;
  const heard: Message[] = [];
  for await (const message of heardOn(restorer)) {
    if (message.type !== 'hello') heard.push(message);
    if (heard.length > 1 && heard.some(isLast)) break;
  }
  return heard.filter((message) => !isLast(message));
}

async function* heardOn(channel: Channel): AsyncGenerator<Message> {
  for (let bytes = await channel.receive(); bytes !== null; bytes = await channel.receive())
    yield decodeMessage(bytes);
}

const restoreOurs: PeerGrant = { role: 'restore', agentId: ours };
const wantOf = (text: string, folder = 'media'): Message => ({
  type: 'want',
  requestId: 7,
  folder,
  items: [{ path: parseTypedPath(text), hash: sha256(text), offset: 0, length: text.length }],
});

it('a replica reads nothing back: neither listing nor content', async () => {
  for (const message of [browse, wantOf('ours')]) {
    const heard = await converse({ role: 'replica' }, [hello('restorer'), message]);
    expect(heard).toMatchObject([{ type: 'refuse', code: 'ROLE_REFUSED' }]);
  }
});

it('a receiver that pulls from an agent answers no browse and no want of it', async () => {
  for (const message of [browse, wantOf('ours')]) {
    const [agent, channel] = createChannelPair();
    const session = new PullSession(
      {
        channel,
        openStore: () => Promise.reject(new Error('nothing is offered')),
        takePoint: async () => ({ held: true, code: null }),
        sleep: () => Promise.resolve(),
        onBlocked: () => {},
        logger: silentLogger,
      },
      { programVersion: 'test', retryDelayMs: 1, answerTimeoutMs: 60_000 },
    );
    const run = session.run();
    await agent.send(encodeMessage(hello('agent')));
    await agent.send(encodeMessage(message));
    const heard = (await Array.fromAsync(heardOn(agent))).filter(({ type }) => type !== 'hello');
    expect(heard[0]).toMatchObject({ type: 'refuse', code: 'PROTOCOL_VIOLATION' });
    expect(heard.filter(({ type }) => type !== 'refuse')).toEqual([]);
    expect(await run).toMatchObject({ code: 'PROTOCOL_VIOLATION' });
  }
});

it('gives the content of the granted agent only, whatever path and hash are named', async () => {
  expect(await converse(restoreOurs, [hello('restorer'), wantOf('ours')])).toMatchObject([
    { type: 'content', parts: [{ bytes: Buffer.from('ours') }] },
  ]);
  expect(await converse(restoreOurs, [hello('restorer'), wantOf('theirs')])).toMatchObject([
    { type: 'gone', reason: 'vanished' },
  ]);
  const listed = await converse(restoreOurs, [hello('restorer'), { ...browse, folder: 'media' }]);
  expect(listed).toMatchObject([{ type: 'entries', entries: [{ path: 'ours' }], next: null, at: 10 }]);
});

it.each<[string, Message[], string]>([
  ['nothing before hello', [browse], 'PROTOCOL_VIOLATION'],
  ['a second hello', [hello('restorer'), hello('restorer')], 'ROLE_REFUSED'],
  ['an agent', [hello('agent')], 'PROTOCOL_VIOLATION'],
  ['an offer', [hello('restorer'), { type: 'offer', folders: [] }], 'ROLE_REFUSED'],
  [
    'a durable',
    [
      hello('restorer'),
      { type: 'durable', folder: 'media', indexId: Buffer.alloc(8), sequence: 1, token: Buffer.alloc(32) },
    ],
    'ROLE_REFUSED',
  ],
  [
    'an interval of a folder that has none',
    [
      hello('restorer'),
      { ...browse, folder: 'media', between: { indexId: Buffer.alloc(8), from: 1, to: 2 } },
    ],
    'PROTOCOL_VIOLATION',
  ],
  ['an unknown folder', [hello('restorer'), wantOf('ours', 'other')], 'FOLDER_UNKNOWN'],
])('a restore may not come with %s', async (_, messages, code) => {
  expect(await converse(restoreOurs, messages)).toMatchObject([{ type: 'refuse', code }]);
});

it('ends the session of an agent that this receiver does not know with an empty listing', async () => {
  const heard = await converse({ role: 'restore', agentId: 'NOBODY' as DeviceId }, [
    hello('restorer'),
    browse,
  ]);
  expect(heard).toMatchObject([{ type: 'entries', folders: [] }]);
});

it('holds up expiry of that agent only, until the link ends or nothing moved for an hour', () => {
  let nowMs = 0;
  const leases = new RestoreLeases(() => nowMs);
  const lease = leases.begin(ours);
  expect([leases.holds(ours), leases.holds(theirs)]).toEqual([true, false]);
  nowMs = restoreLeaseIdleMs - 1;
  lease.renew();
  nowMs += restoreLeaseIdleMs - 1;
  expect(leases.holds(ours)).toBe(true);
  nowMs += 1;
  expect(leases.holds(ours)).toBe(false);
  lease.renew();
  expect(leases.holds(ours)).toBe(true);
  lease.end();
  expect(leases.holds(ours)).toBe(false);
});
