import { createPublicKey } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ServeSession } from '../../agent/serve/serve-session.ts';
import type { AgentCopies } from '../../receiver/agent-copies.ts';
import { AgentGuards } from '../../receiver/agent-guards.ts';
import { AgentSessions } from '../../receiver/agent-sessions.ts';
import { defaultGuardRules } from '../../receiver/guard/guard-rules.ts';
import { PointBooks } from '../../receiver/point-books.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import { parseDeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import type { Channel } from '../../shared/link/channel.ts';
import { unpaced } from '../../shared/transfer/send-pace.ts';
import { noPoints } from '../support/no-points.ts';
import { createChannelPair } from '../support/channel-pair.ts';
import { FakeFolderFeed } from '../support/fake-folder-feed.ts';
import { createTestKey, SealedBench } from '../support/sealed-bench.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { PointSigner } from '../support/point-fixture.ts';
import { receiverCopies } from '../support/receiver-copies.ts';
import { until } from '../support/until.ts';

const agentId = parseDeviceId('GU77MKD-5E7SBZF-CEQDU57-IAKI47O-VFV4WZM-EFFAQGA-SSHTHTJ-HMCYJQM');
let shiftMs = 0;
const now = (): number => Date.now() + shiftMs;

let copies: AgentCopies;
let alarms: AlarmBoard;
let sessions: AgentSessions;
let links: Channel[];

beforeEach(() => {
  const scratch = temporaryDirectory();
  const data = path.join(scratch, 'data');
  fs.mkdirSync(data);
  copies = receiverCopies(scratch, now);
  alarms = new AlarmBoard({ logger: silentLogger, now });
  const points = new PointBooks({
    copies,
    dataDirectory: data,
    disk: nodeDisk,
    retentionNow: now,
    now,
    steadyNow: now,
    logger: silentLogger,
  });
  const guards = new AgentGuards(
    { copies, alarms, now, logger: silentLogger },
    { dataDirectory: data, rules: defaultGuardRules },
  );
  sessions = new AgentSessions({ copies, points, alarms, guards, logger: silentLogger, now });
  links = [];
});

afterEach(async () => {
  for (const link of links) link.close();
  await sessions.ended();
  await copies.close();
});

/** The agent's end of a new link. */
function connect(): Channel {
  const [agentSide, receiverSide] = createChannelPair({ firstId: agentId });
  links.push(agentSide);
  sessions.begin(receiverSide);
  return agentSide;
}

function serve(feed: FakeFolderFeed): void {
  const folders = { list: () => [feed], onChange: () => () => {} };
  const serving = new ServeSession(
    { channel: connect(), folders, points: noPoints, pace: unpaced, logger: silentLogger },
    { programVersion: '0.0.0' },
  );
  void serving.run();
}

async function failOnce(): Promise<void> {
  await connect().send(Buffer.from('no message at all'));
  await until('the alarm', () => alarms.list().length === 1);
}

it('ends the alarm of a failed session at the first durable batch of the next', async () => {
  await failOnce();
  const feed = new FakeFolderFeed();
  feed.write('a', 'content');
  feed.scan();
  serve(feed);
  await until('the first batch', () => sessions.lastDurableAt(agentId, 'media') !== null);
  expect(alarms.list()).toEqual([]);
});

it('ends the alarm of a failed session where the next finds that nothing is missing', async () => {
  const feed = new FakeFolderFeed();
  feed.write('a', 'content');
  feed.scan();
  serve(feed);
  await until('the first batch', () => sessions.lastDurableAt(agentId, 'media') !== null);
  links.pop()?.close();
  await failOnce();
  serve(feed);
  await until('the alarm is over', () => alarms.list().length === 0);
});

/** A folder whose 120 files have been here for two days when 100 of them vanish. */
async function bringAndRemove(): Promise<FakeFolderFeed> {
  const feed = new FakeFolderFeed();
  for (let at = 0; at < 120; at += 1) feed.write(`file ${at}`, `content ${at}`);
  feed.scan();
  serve(feed);
  await until('everything', () => copies.foldersOf(agentId)[0]?.[1].position()?.sequence === 120);
  shiftMs += 48 * 3_600_000;
  for (let at = 0; at < 100; at += 1) feed.remove(`file ${at}`);
  return feed;
}

it('alarms as soon as a batch deletes most of the files', async () => {
  const feed = await bringAndRemove();
  feed.scan();
  await until('the alarm', () => alarms.list().length > 0);
  expect(alarms.list()).toMatchObject([{ code: 'MASS_CHANGE' }]);
});

it('alarms as soon as an index ends that names a sixth of the files', async () => {
  const feed = await bringAndRemove();
  links.pop()?.close();
  await sessions.ended();
  feed.loseIndex();
  feed.scan();
  serve(feed);
  await until('the alarm', () => alarms.list().length > 0);
  expect(alarms.list()).toMatchObject([{ code: 'MASS_CHANGE' }]);
});

it('alarms as soon as a version comes that is sealed to other keys', async () => {
  const home = path.join(temporaryDirectory(), 'agent');
  fs.mkdirSync(home);
  const [ann, bob] = [await createTestKey('ann'), await createTestKey('bob')];
  let agent = await SealedBench.create(home, [ann.recipient]);
  const { deviceId, certificatePem } = agent.identity;
  const firstKey = createPublicKey(certificatePem).export({ type: 'spki', format: 'der' });
  const bring = async (versions: number): Promise<void> => {
    await agent.dump(Buffer.from(`dump ${versions}`));
    const [agentSide, receiverSide] = createChannelPair({ firstId: deviceId, firstKey });
    sessions.begin(receiverSide);
    const folders = { list: () => [agent.feed], onChange: () => () => {} };
    void new ServeSession(
      { channel: agentSide, folders, points: noPoints, pace: unpaced, logger: silentLogger },
      { programVersion: '0.0.0' },
    ).run();
    await until(`version ${versions}`, () => {
      const [store] = copies.foldersOf(deviceId).map(([, one]) => one);
      return store?.kind === 'sealed' && store.usage().versions === versions;
    });
    agentSide.close();
    await sessions.ended();
    agent.close();
  };
  await bring(1);
  expect(alarms.list()).toEqual([]);
  agent = SealedBench.reuse(home, [ann.recipient, bob.recipient], agent.identity);
  await bring(2);
  expect(alarms.list()).toMatchObject([{ code: 'RECIPIENTS_CHANGED' }]);
});

it('tells a device that another one goes on with its data, takes nothing of it, and is held up by none that is silent', async () => {
  const feed = new FakeFolderFeed();
  feed.write('a', 'content');
  feed.scan();
  serve(feed);
  await until('the first batch', () => sessions.lastDurableAt(agentId, 'media') !== null);
  links.pop()?.close();
  await sessions.ended();
  const next = new PointSigner().agent;
  copies.successions.add(agentId, next, { since: now(), replacesLast: false });
  let isSilentHeard = true;
  void connect().closed.then(() => (isSilentHeard = false));
  const deps = { folders: { list: () => [feed], onChange: () => () => {} }, points: noPoints, pace: unpaced };
  const session = (channel: Channel): ServeSession =>
    new ServeSession({ ...deps, channel, logger: silentLogger }, { programVersion: '0.0.0' });
  feed.write('b', 'late');
  feed.scan();
  const refused = session(connect());
  expect((await refused.run())?.code).toBe('LINK_CLOSED');
  expect(refused.refusal).toMatchObject({
    code: 'SUCCEEDED',
    message: expect.stringContaining(next) as string,
  });
  const files = (): number => {
    const [store] = copies.foldersOf(agentId).map(([, one]) => one);
    return store?.kind === 'mirror' ? store.usage().files : -1;
  };
  expect(files()).toBe(1);
  const [agentSide, receiverSide] = createChannelPair({ firstId: next });
  links.push(agentSide);
  sessions.begin(receiverSide);
  void session(agentSide).run();
  await until('the file of the device that goes on', () => files() === 2);
  expect(copies.agentIds()).toEqual([agentId]);
  expect(isSilentHeard).toBe(true);
});
