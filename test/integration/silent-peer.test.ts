import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PullSession } from '../../receiver/pull/pull-session.ts';
import type { CodedError } from '../../shared/errors/coded-error.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { decodeMessage, encodeMessage, type Message } from '../../shared/protocol/codec.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { MessageLink } from '../../shared/transfer/message-link.ts';
import { FakeMirrorStore } from '../support/fake-mirror-store.ts';
import { LinkDevices } from '../support/link-devices.ts';
import { restoreFrom } from '../support/restore-bench.ts';
import { sha256 } from '../support/store-fixture.ts';

/** Links whose pings are answered all the time: only what is asked tells that the other side does nothing. */
const lively = { pingIntervalMs: 20, idleTimeoutMs: 30_000 };
const answerTimeoutMs = 300;
const content = Buffer.from('content');
const state = {
  kind: 'file',
  size: 7,
  mtimeNs: 0n,
  mode: 0o644,
  uid: 0,
  gid: 0,
  hash: sha256(content),
} as const;
const indexId = Buffer.alloc(8, 1);
const checkpoint = { through: 1, token: Buffer.alloc(32, 2), isHead: true };

const devices = new LinkDevices();
let to = '';
beforeEach(() => {
  to = fs.mkdtempSync(path.join(os.tmpdir(), 'silent-peer-'));
});
afterEach(async () => {
  await devices.stop();
  fs.rmSync(to, { recursive: true });
});

/** Says hello and answers what `answers` knows, and nothing else; resolves with how the link ended. */
async function speak(
  channel: Channel,
  deviceRole: 'agent' | 'receiver',
  answers: Partial<Record<Message['type'], (message: never) => Message>>,
  opening: Message[] = [],
): Promise<void> {
  const hello: Message = {
    type: 'hello',
    protocolVersions: [1],
    program: 'silent',
    programVersion: '0',
    deviceRole,
  };
  for (const message of [hello, ...opening]) await channel.send(encodeMessage(message));
  for (let bytes = await channel.receive(); bytes !== null; bytes = await channel.receive()) {
    const message = decodeMessage(bytes);
    const answer = answers[message.type]?.(message as never);
    if (answer !== undefined) await channel.send(encodeMessage(answer));
  }
}

describe('a pull ends a link that is alive', () => {
  let agent: Channel;
  let ended: Promise<CodedError | null>;
  const store = new FakeMirrorStore();

  beforeEach(async () => {
    const agentDevice = await devices.start('agent', { limits: lively });
    const receiver = await devices.start('receiver', { listen: [], limits: lively });
    devices.pair(agentDevice, receiver);
    const [served, channel] = await Promise.all([agentDevice.nextChannel(), receiver.nextChannel()]);
    agent = served;
    ended = new PullSession(
      {
        channel,
        openStore: async () => store,
        takePoint: async () => ({ held: true, code: null }),
        sleep: async () => {},
        onBlocked: () => {},
        logger: silentLogger,
      },
      { programVersion: '0.0.0', retryDelayMs: 1, answerTimeoutMs },
    ).run();
  });

  it('when the agent says no hello', async () => {
    expect(await ended).toMatchObject({ code: 'LINK_TIMEOUT' });
    expect(await agent.closed).toMatchObject({
      message: 'the other side ended the connection: LINK_TIMEOUT',
    });
  });

  it.each<[string, number, Parameters<typeof speak>[2]]>([
    ['gives no content', 7, {}],
    ['gives no list of chunks', 2 * 1024 * 1024, {}],
  ])('when the agent announces, and %s', async (_name, size, answers) => {
    const record = { path: parseTypedPath('a'), sequence: 1, replaces: null, state: { ...state, size } };
    const offer: Message = { type: 'offer', folders: [{ id: 'media', kind: 'mirror', indexId }] };
    const records: Message = { type: 'records', folder: 'media', indexId, records: [record], checkpoint };
    const speaking = speak(agent, 'agent', { ...answers, subscribe: () => records }, [offer]);
    expect(await ended).toMatchObject({ code: 'LINK_TIMEOUT' });
    await speaking;
    expect(store.commits).toEqual([]);
  });
});

describe('a restore ends a link that is alive', () => {
  let speakers: ((channel: Channel) => Promise<void>)[];
  let nextChannel: () => Promise<Channel>;
  const browse = (last: { folder: string | null; requestId: number }): Message =>
    last.folder === null
      ? {
          type: 'entries',
          requestId: last.requestId,
          folders: [{ id: 'media', kind: 'mirror', files: 1, bytes: 7 }],
          entries: [],
          next: null,
          at: 5,
        }
      : {
          type: 'entries',
          requestId: last.requestId,
          folders: null,
          entries: [{ path: parseTypedPath('a'), state }],
          next: null,
          at: 5,
        };

  beforeEach(async () => {
    const receiver = await devices.start('receiver', { limits: lively });
    const restorer = await devices.start('restorer', { listen: [], limits: lively });
    const grant = { role: 'restore', agentId: receiver.identity.deviceId } as const;
    receiver.book.pair({ deviceId: restorer.identity.deviceId, grant, addresses: [] });
    restorer.book.pair({ deviceId: receiver.identity.deviceId, grant, addresses: receiver.addresses });
    speakers = [];
    nextChannel = async () => {
      const [served, dialled] = await Promise.all([receiver.nextChannel(), restorer.nextChannel()]);
      // where an answer comes late there is another link, over which the last one speaks
      const speaker = speakers.length > 1 ? speakers.shift() : speakers[0];
      void speaker?.(served);
      return dialled;
    };
  });

  const impatient = { answerTimeoutMs, patienceMs: 0 };

  it.each<[string, ((channel: Channel) => Promise<void>) | null]>([
    ['says no hello', null],
    ['names no folder', async (channel) => speak(channel, 'receiver', {})],
    ['gives no content', async (channel) => speak(channel, 'receiver', { browse })],
  ])('when the receiver %s', async (_name, speaker) => {
    if (speaker !== null) speakers.push(speaker);
    await expect(restoreFrom({ nextChannel }, { to, ...impatient })).rejects.toMatchObject({
      code: 'LINK_TIMEOUT',
    });
  });

  it('and goes on over the next one', async () => {
    const want = ({ requestId }: { requestId: number }): Message => ({
      type: 'content',
      requestId,
      parts: [{ item: 0, offset: 0, bytes: content }],
    });
    speakers.push(
      async (channel) => speak(channel, 'receiver', { browse }),
      async (channel) => speak(channel, 'receiver', { browse, want }),
    );
    await restoreFrom({ nextChannel }, { to, answerTimeoutMs });
    expect(fs.readFileSync(path.join(to, 'media/a'))).toEqual(content);
  });
});

it('a serving side ends a link over which no hello comes, too', async () => {
  const agent = await devices.start('agent', { limits: lively });
  const receiver = await devices.start('receiver', { listen: [], limits: lively });
  devices.pair(agent, receiver);
  const [served] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
  const own = { program: 'mastokeep-agent', programVersion: '0', deviceRole: 'agent' } as const;
  expect(await new MessageLink(served).greet(own, 'receiver', 100)).toBeNull();
  expect(await served.closed).toMatchObject({ code: 'LINK_TIMEOUT' });
});
