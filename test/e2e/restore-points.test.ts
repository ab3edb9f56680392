import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PointListing } from '../../receiver/point-listing.ts';
import { SealedWorkbench } from '../support/sealed-workbench.ts';
import { until } from '../support/until.ts';

let sealed: SealedWorkbench;

beforeAll(async () => {
  sealed = await SealedWorkbench.create('points');
  const secrets = path.join(sealed.bench.directory, 'secrets');
  fs.mkdirSync(secrets);
  fs.writeFileSync(path.join(secrets, '.env.production'), 'SECRET_KEY_BASE=1\n');
  fs.writeFileSync(path.join(sealed.bench.source, 'picture.png'), 'a picture');
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
