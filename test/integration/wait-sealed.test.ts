import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { generateKeyPair } from '../../shared/sealing/key-pair.ts';
import { Device, type Receiver } from '../support/device.ts';
import { until } from '../support/until.ts';
import { Workbench } from '../support/workbench.ts';

let bench: Workbench;

beforeEach(async () => {
  bench = await Workbench.create('wait-sealed');
  const pair = await generateKeyPair({ name: 'owner', email: 'owner@example.org' }, 'secret');
  const keyFile = path.join(bench.directory, 'owner.asc');
  fs.writeFileSync(keyFile, pair.publicArmored);
  await bench.agent.must(['recipient', 'add', keyFile]);
  // only this test says when it is dumped
  const command = ['--kind', 'sealed', '--command', 'echo a dump', '--schedule', '0 0 29 2 1'];
  await bench.agent.must(['folder', 'add', 'database', ...command]);
});
afterEach(async () => {
  await bench.dispose();
});

it('waits for the version of a sealed folder too, and for no folder that has none', async () => {
  const { agent, receiver } = bench;
  fs.writeFileSync(path.join(bench.source, 'a.png'), 'an image');
  await bench.startPaired();
  await bench.settled();

  await receiver.stop();
  await agent.must(['dump', 'database']);
  const early = await agent.run(['wait', '--copies', '1', '--timeout', '5']);
  expect(early.code).toBe(4);
  expect(early.stderr).toMatch(/^error TIMED_OUT: durable on 0 of 1 receivers/);

  await receiver.start();
  await bench.settled();
  await receiver.stop();
  const versions = fs.readdirSync(path.join(bench.data, bench.agentId, 'database'), { recursive: true });
  expect(versions.map(String).filter((name) => name.endsWith('.json'))).not.toEqual([]);
});

it('says that a receiver which came after the dump lacks the version until the next one', async () => {
  const { agent } = bench;
  await bench.startPaired();
  await agent.must(['dump', 'database', '--wait-copies', '1']);
  const late: Receiver = new Device('receiver', path.join(bench.directory, 'late'));
  await bench.initReceiver(late, path.join(bench.directory, 'late-data'), false);
  await late.start();
  await bench.pair(late);
  const lacks = /receiver \w{7} lacks the latest version of database: "mastokeep-agent dump" seals it anew/;
  await until('nothing is on its way any more', async () => lacks.test(await waitingFor('wait', '2')));
  expect(await agent.must(['status'])).toMatch(/database +the latest version, until the next dump\n/);
  expect(await waitingFor('dump', '3')).toMatch(/^error TIMED_OUT: the version is made and durable on /);
  await agent.must(['dump', 'database', '--wait-copies', '2']);
  await bench.settled({ copies: 2 });
  await late.stop();
  expect(await waitingFor('dump', '3')).toMatch(/receiver \w{7} is not connected\n/);
});

/** What a command says that waits for more copies than there are. */
async function waitingFor(command: 'wait' | 'dump', copies: string): Promise<string> {
  const option = command === 'wait' ? '--copies' : '--wait-copies';
  const { code, stderr } = await bench.agent.run([command, option, copies, '--timeout', '5']);
  expect(code).toBe(4);
  return stderr;
}
