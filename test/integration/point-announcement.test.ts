import { expect, it } from 'vitest';
import type { AnnouncedPoints } from '../../agent/serve/announced-points.ts';
import { ServeSession } from '../../agent/serve/serve-session.ts';
import { PullSession } from '../../receiver/pull/pull-session.ts';
import type { CodedError } from '../../shared/errors/coded-error.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { decodeMessage, encodeMessage, type Message } from '../../shared/protocol/codec.ts';
import { unpaced } from '../../shared/transfer/send-pace.ts';
import { createChannelPair } from '../support/channel-pair.ts';
import { FakeMirrorStore } from '../support/fake-mirror-store.ts';
import { PointSigner } from '../support/point-fixture.ts';
import { until } from '../support/until.ts';

const signer = new PointSigner();
const noFolders = { list: () => [], onChange: () => () => {} };

function serve(channel: Channel, points: AnnouncedPoints): Promise<CodedError | null> {
  const deps = { channel, folders: noFolders, points, pace: unpaced, logger: silentLogger };
  return new ServeSession(deps, { programVersion: '0.0.0' }).run();
}

function pull(
  channel: Channel,
  takePoint: (record: Buffer) => Promise<{ held: boolean; code: string | null }>,
): Promise<CodedError | null> {
  const deps = {
    channel,
    openStore: async () => new FakeMirrorStore(),
    takePoint,
    sleep: async () => {},
    onBlocked: () => {},
    logger: silentLogger,
  };
  const options = { programVersion: '0.0.0', retryDelayMs: 1, answerTimeoutMs: 60_000 };
  return new PullSession(deps, options).run();
}

it('announces points one by one, each behind the answer to the one before, also those made later', async () => {
  const waiting = [1, 2, 3].map((number) => signer.point(number));
  const answers: unknown[] = [];
  let notify = (): void => {};
  const points: AnnouncedPoints = {
    nextFor: () => waiting[0] ?? null,
    answered: (_, hash, answer) => {
      expect(waiting.shift()?.hash).toEqual(hash);
      answers.push(answer);
    },
    onChange: (listener) => {
      notify = listener;
      return () => {};
    },
  };
  const [agentSide, receiverSide] = createChannelPair();
  const taken: Buffer[] = [];
  const ends = [
    serve(agentSide, points),
    pull(receiverSide, async (record) => {
      taken.push(record);
      return taken.length === 2 ? { held: false, code: 'RECORD_FORGED' } : { held: true, code: null };
    }),
  ];
  await until('three answers', () => answers.length === 3);
  waiting.push(signer.point(4));
  notify();
  await until('the fourth answer', () => answers.length === 4);
  expect(answers).toEqual([
    { held: true, code: null },
    { held: false, code: 'RECORD_FORGED' },
    { held: true, code: null },
    { held: true, code: null },
  ]);
  expect(taken).toEqual([1, 2, 3, 4].map((number) => signer.point(number).record));
  agentSide.close();
  expect(await Promise.all(ends)).toEqual([null, null]);
});

const hello = (deviceRole: 'agent' | 'receiver'): Message => {
  return { type: 'hello', protocolVersions: [1], program: 'hostile', programVersion: '6', deviceRole };
};

it('ends the link to an agent that announces a point before the answer to the one before', async () => {
  const [agentSide, receiverSide] = createChannelPair();
  const gate = Promise.withResolvers<{ held: boolean; code: null }>();
  const ended = pull(receiverSide, () => gate.promise);
  const { record, signature } = signer.point(1);
  for (const message of [
    hello('agent'),
    { type: 'point', record, signature },
    { type: 'point', record, signature },
  ])
    await agentSide.send(encodeMessage(message as Message));
  await receiverSide.closed;
  gate.resolve({ held: true, code: null });
  expect((await ended)?.code).toBe('PROTOCOL_VIOLATION');
});

it('ends the link to a receiver that answers a point which was not announced', async () => {
  const [agentSide, receiverSide] = createChannelPair();
  const points: AnnouncedPoints = { nextFor: () => null, answered: () => {}, onChange: () => () => {} };
  const ended = serve(agentSide, points);
  await receiverSide.send(encodeMessage(hello('receiver')));
  await receiverSide.send(
    encodeMessage({ type: 'pointTaken', hash: Buffer.alloc(32, 1), held: true, code: null }),
  );
  expect((await ended)?.code).toBe('PROTOCOL_VIOLATION');
  const said = decodeMessage((await receiverSide.receive()) ?? Buffer.alloc(1));
  expect(said.type).toBe('hello');
});
