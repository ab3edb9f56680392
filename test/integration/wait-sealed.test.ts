import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { generateKeyPair } from '../../shared/sealing/key-pair.ts';
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
  const early = await agent.run(['wait', '--copies', '1', '--timeout', '1']);
  expect(early.code).toBe(4);
  expect(early.stderr).toMatch(/^error TIMED_OUT: durable on 0 of 1 receivers/);

  await receiver.start();
  await bench.settled();
  await receiver.stop();
  const versions = fs.readdirSync(path.join(bench.data, bench.agentId, 'database'), { recursive: true });
  expect(versions.map(String).filter((name) => name.endsWith('.json'))).not.toEqual([]);
});
