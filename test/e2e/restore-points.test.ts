import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createPublicKey } from 'node:crypto';
import { PointBook } from '../../receiver/points/point-book.ts';
import type { PointListing } from '../../shared/cli/point-listing.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { encodePointRecord } from '../../shared/sealing/point-record.ts';
import { signRecord } from '../../shared/sealing/signed-record.ts';
import { readTree } from '../support/store-fixture.ts';
import { SealedWorkbench } from '../support/sealed-workbench.ts';
import { until } from '../support/until.ts';

let sealed: SealedWorkbench;
let secrets: string;

beforeAll(async () => {
  sealed = await SealedWorkbench.create('points');
  secrets = path.join(sealed.bench.directory, 'secrets');
  fs.mkdirSync(secrets);
  fs.writeFileSync(path.join(secrets, '.env.production'), 'SECRET_KEY_BASE=1\n');
  fs.writeFileSync(path.join(sealed.bench.source, 'picture.png'), 'a picture');
  fs.writeFileSync(path.join(sealed.bench.source, 'avatar.png'), 'a face');
  await sealed.addFolder('secrets', '--path', secrets);
});
afterAll(async () => sealed.dispose());

async function points(): Promise<PointListing[]> {
  const stdout = await sealed.bench.receiver.must(['points', '--json']);
  return (JSON.parse(stdout) as { points: PointListing[] }).points;
}

it('a dump makes a restore point, which the receiver holds, proves and lists', async () => {
  const stdout = await sealed.bench.agent.must(['dump', '--wait-copies', '1', '--pin', 'before the upgrade']);
  const id = /restore point (\S+)/.exec(stdout)?.[1];
  const held = await until('the point is complete', async () => {
    const found = await points();
    return found.some((point) => point.id === id && point.complete) ? found : null;
  });
  expect(held).toMatchObject([
    {
      id,
      agent: sealed.bench.agentId,
      complete: true,
      incompleteFiles: 0,
      pinned: true,
      pin: { label: 'before the upgrade', by: 'agent' },
      folders: [
        { id: 'media', state: 'complete' },
        { id: 'secrets', version: 1, state: 'complete' },
      ],
    },
  ]);
  const shown = await sealed.bench.receiver.must(['points']);
  expect(shown).toContain(`${id}`);
  expect(shown).toMatch(/complete .*secrets#1 .*before the upgrade/);
  const [agent] = (await sealed.bench.receiver.status()).agents;
  expect(agent?.points).toMatchObject({ count: 1, refused: 0 });
});

it('pins and unpins by the beginning of a name, with the receiver running or stopped, and keeps it over a restart', async () => {
  const { receiver } = sealed.bench;
  const [point] = await points();
  const short = point?.id.slice(0, 17) ?? '';
  expect(await receiver.must(['unpin', short])).toContain('no longer pinned');
  expect((await points())[0]?.pinned).toBe(false);
  await receiver.stop();
  await receiver.must(['pin', short, 'mine']);
  expect((await points())[0]?.pin).toEqual({ label: 'mine', by: 'owner' });
  const file = path.join(sealed.bench.data, point?.agent ?? '', 'points', `${point?.id}.json`);
  fs.renameSync(file, `${file}.away`);
  const damaged = [{ id: point?.id, agent: point?.agent }];
  expect(JSON.parse(await receiver.must(['points', '--json']))).toEqual({ points: [], damaged });
  expect(await receiver.must(['points'])).toContain(`restore point ${point?.id} of agent`);
  fs.renameSync(`${file}.away`, file);
  fs.rmSync(path.join(receiver.home, 'db'), { recursive: true });
  await receiver.start();
  expect(await points()).toMatchObject([{ id: point?.id, complete: true, pin: { label: 'mine' } }]);
});

it('says what is wrong with a name that no point has, and with a label that is none', async () => {
  const unknown = await sealed.bench.receiver.run(['pin', '1999', 'x']);
  expect(unknown.code).toBe(2);
  expect(unknown.stderr).toContain('error POINT_UNKNOWN: no restore point "1999" is held');
  expect((await sealed.bench.receiver.run(['pin', '2026', ''])).code).toBe(2);
  expect((await sealed.bench.agent.run(['dump', '--pin', 'a\nb'])).stderr).toContain(
    'a label is up to 100 characters',
  );
});

/** The point of a dump of everything, once the receiver has all of it. */
async function dumpPoint(): Promise<string> {
  const stdout = await sealed.bench.agent.must(['dump', '--wait-copies', '1', '--pin', 'a test']);
  const id = /restore point (\S+)/.exec(stdout)?.[1] ?? '';
  await until('the point is complete', async () =>
    (await points()).some((point) => point.id === id && point.complete) ? true : null,
  );
  return id;
}

const restoredTree = (to: string): Record<string, string> =>
  Object.fromEntries(
    ['media/picture.png', 'media/avatar.png', 'media/new.png', `secrets${secrets}/.env.production`].map(
      (name) => {
        const file = path.join(to, name);
        return [path.basename(name), fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : 'none'];
      },
    ),
  );

/** All that is held of the agent, without what the receiver itself writes and drops at any time. */
function heldTree(): Map<string, Buffer> {
  const { data, agentId } = sealed.bench;
  const files = [...readTree(path.join(data, agentId))];
  return new Map(files.filter(([name]) => !name.includes('/journal/')));
}

it('takes all folders back to a restore point by command, also what was deleted or replaced since', async () => {
  const { bench } = sealed;
  const first = await dumpPoint();
  const between = new Date();
  fs.rmSync(path.join(bench.source, 'picture.png'));
  fs.writeFileSync(path.join(bench.source, 'avatar.png'), 'another face');
  fs.writeFileSync(path.join(bench.source, 'new.png'), 'new');
  fs.writeFileSync(path.join(secrets, '.env.production'), 'SECRET_KEY_BASE=2\n');
  const second = await dumpPoint();
  const before = heldTree();
  const listed = JSON.parse((await sealed.onRestorer(['points', '--json'])).stdout) as {
    points: PointListing[];
  };
  expect(listed.points.slice(0, 2)).toMatchObject([
    {
      id: second,
      agent: bench.agentId,
      complete: true,
      incompleteFiles: 0,
      pinned: true,
      folders: [{ id: 'media' }, { id: 'secrets', version: 3 }],
    },
    { id: first, complete: true, folders: [{ id: 'media' }, { id: 'secrets', version: 2 }] },
  ]);
  const then = {
    'picture.png': 'a picture',
    'avatar.png': 'a face',
    'new.png': 'none',
    '.env.production': 'SECRET_KEY_BASE=1\n',
  };
  for (const [name, at] of Object.entries({
    whole: first,
    begun: first.slice(0, 20),
    time: between.toISOString(),
  })) {
    const to = sealed.target(name);
    const { code, stderr, stdout } = await sealed.restore([
      '--at',
      at,
      '--to',
      to,
      '--json',
      ...sealed.withKey,
    ]);
    expect(code, stderr).toBe(0);
    expect(restoredTree(to)).toEqual(then);
    expect(JSON.parse(stdout)).toMatchObject({ point: { id: first, complete: true, incompleteFiles: 0 } });
  }
  const latest = sealed.target('second');
  await sealed.restore(['--at', second, '--to', latest, ...sealed.withKey]);
  expect(restoredTree(latest)).toMatchObject({
    'avatar.png': 'another face',
    'new.png': 'new',
    '.env.production': 'SECRET_KEY_BASE=2\n',
  });
  expect(heldTree()).toEqual(before);
});

it('tells of one point what it lacks, and says what is wrong with the question', async () => {
  const { receiver } = sealed.bench;
  const [point] = await points();
  const id = point?.id ?? '';
  const shown = await receiver.must(['points', id.slice(0, 20), '--json']);
  expect(JSON.parse(shown)).toEqual({ points: [point], damaged: [] });
  const { stdout, stderr } = await sealed.onRestorer(['points', id, '--lacking']);
  expect(stdout).toBe('');
  expect(stderr).toContain(`restore point ${id} is complete: it lacks nothing`);
  const unnamed = await receiver.run(['points', '--lacking']);
  expect([unnamed.code, unnamed.stderr]).toEqual([2, expect.stringContaining('error USAGE')]);
  const unknown = await sealed.onRestorer(['points', '1999', '--lacking']);
  expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('error POINT_UNKNOWN')]);
});

it('restores one folder of a point, and says what is wrong with a point or a folder that is none', async () => {
  const [point] = await points();
  const to = sealed.target('one');
  const { code, stderr } = await sealed.restore(['--at', point?.id ?? '', '--folder', 'media', '--to', to]);
  expect(code, stderr).toBe(0);
  expect(fs.readdirSync(to)).toEqual(['media']);
  const failing = async (...args: string[]): Promise<string> => {
    const failed = await sealed.restore([...args, '--to', to]);
    expect(failed.code).toBeGreaterThan(0);
    return failed.stderr;
  };
  expect(await failing('--at', '19990101-000000')).toContain(
    'error POINT_UNKNOWN: the receiver holds no restore point',
  );
  expect(await failing('--at', '2026')).toContain('error USAGE');
  expect(await failing('--at', point?.id ?? '', '--folder', 'redis')).toContain('error FOLDER_UNKNOWN');
});

it('lists no points of an agent that is not the one named', async () => {
  const stranger = await sealed.bench.receiver.id();
  const { code, stderr } = await sealed.onRestorer(['points', '--agent', stranger]);
  expect(code, stderr).not.toBe(0);
  expect(stderr).toContain('error ROLE_REFUSED');
  const shown = await sealed.onRestorer(['points', '--agent', sealed.bench.agentId]);
  expect(shown.stdout).toMatch(/^POINT +MADE +RECEIVED +AGENT +STATE/);
  expect(shown.stderr).not.toContain('unverified');
});

it('forgets points when the owner says so, and only then, and removes what only they had', async () => {
  const { bench } = sealed;
  const { receiver } = bench;
  fs.writeFileSync(path.join(bench.source, 'picture.png'), 'to be forgotten');
  const pinned = await dumpPoint();
  fs.rmSync(path.join(bench.source, 'picture.png'));
  await dumpPoint();
  const holds = (): boolean =>
    [...readTree(bench.versions).values()].some((content) => content.toString() === 'to be forgotten');
  expect(holds()).toBe(true);
  const refused = await receiver.run(['forget', pinned, '--yes']);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining(`unpin ${pinned}`)]);
  await receiver.must(['unpin', pinned]);
  const asked = await receiver.run(['forget', pinned]);
  expect([asked.code, asked.stderr]).toEqual([2, expect.stringContaining('nothing was forgotten')]);
  const plan = await receiver.must(['forget', pinned, '--dry-run', '--json']);
  expect(JSON.parse(plan)).toMatchObject({ dryRun: true, points: [{ id: pinned }], versions: 1, bytes: 15 });
  expect(holds()).toBe(true);
  const said = await receiver.must(['forget', pinned.slice(0, 20), '--yes']);
  expect(said).toContain('1 restore point is forgotten; removed what nothing else needs: 1 version, 15 B');
  expect(holds()).toBe(false);
  expect((await points()).map(({ id }) => id)).not.toContain(pinned);
  expect((await receiver.status()).agents[0]?.points).toMatchObject({ forgotten: 0 });
});

it('dumps without a pin where the receiver grants no more, and says so with exit code 3', async () => {
  const { agent, agentId, data, receiver } = sealed.bench;
  await receiver.stop();
  const keyPem = fs.readFileSync(path.join(agent.home, 'identity', 'key.pem'), 'utf8');
  const longAgo = (): number => Date.now() - 30 * 86_400_000;
  const book = await PointBook.open(
    {
      disk: nodeDisk,
      agentKey: () => createPublicKey(keyPem),
      retentionNow: longAgo,
      now: longAgo,
      steadyNow: () => 0,
      isForgotten: () => false,
      logger: silentLogger,
    },
    { directory: path.join(data, agentId, 'points'), agent: agentId },
  );
  for (let number = 1; number <= 20; number += 1) {
    const createdAt = new Date(longAgo() + number * 1000).toISOString();
    const [fields, folders] = [
      { agent: agentId as DeviceId, number, createdAt, previous: null, cause: 'asked' as const },
      [{ id: 'media', kind: 'mirror' as const, index: '00000000000000aa', from: 0, to: 1 }],
    ];
    const record = encodePointRecord({ ...fields, pin: `pin ${number}`, folders });
    await book.take(record, signRecord(record, keyPem));
  }
  await book.close();
  await receiver.start();
  await until('the link is up', async () => (await receiver.status()).agents[0]?.connected);
  const dumped = await agent.run(['dump', '--wait-copies', '1', '--pin', 'one more']);
  expect([dumped.code, dumped.stderr]).toEqual([3, expect.stringContaining('error PINS_LIMITED')]);
  const id = /restore point (\S+)/.exec(dumped.stdout)?.[1] ?? '';
  expect((await points()).find((point) => point.id === id)).toMatchObject({ pinned: false });
  const pin = (await points()).find(({ pinned }) => pinned);
  await receiver.must(['unpin', pin?.id ?? '']);
  const granted = await agent.must(['dump', '--pin', 'one more', '--json']);
  expect(JSON.parse(granted)).toMatchObject({ pins: [{ granted: true, code: null }] });
});
