import fs from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { AgentKey } from '../../receiver/store/agent-key.ts';
import { PointSigner } from '../support/point-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const [own, other] = [new PointSigner(), new PointSigner()];
const derOf = ({ publicKey }: PointSigner): Buffer => publicKey.export({ type: 'spki', format: 'der' });
const pemOf = ({ publicKey }: PointSigner): string =>
  publicKey.export({ type: 'spki', format: 'pem' }).toString();

let directory: string;
let file: string;
const opened = (): AgentKey => new AgentKey(own.agent, { directory });

beforeEach(() => {
  directory = path.join(temporaryDirectory(), own.agent);
  file = path.join(directory, 'agent.pem');
});

it('takes the key of its agent and no other, and keeps it', () => {
  const key = opened();
  key.learn(derOf(other));
  expect(key.read()).toBeNull();
  expect(fs.existsSync(file)).toBe(false);
  key.learn(derOf(own));
  expect(fs.readFileSync(file, 'utf8')).toBe(pemOf(own));
  key.learn(derOf(other));
  for (const one of [key, opened()]) expect(one.read()?.equals(own.publicKey)).toBe(true);
});

it('keeps a second copy elsewhere, by which a damaged or lost one is written again', () => {
  const spareDirectory = path.join(temporaryDirectory(), 'db', own.agent);
  const withSpare = (): AgentKey => new AgentKey(own.agent, { directory, spareDirectory });
  opened().learn(derOf(own));
  withSpare().learn(derOf(own));
  for (const spoil of [() => fs.truncateSync(file, 60), () => fs.rmSync(file)]) {
    spoil();
    expect(opened().read()).toBeNull();
    const key = withSpare();
    expect(key.read()?.equals(own.publicKey)).toBe(true);
    expect([key.mend(), key.mend()]).toEqual([true, false]);
    expect(fs.readFileSync(file, 'utf8')).toBe(pemOf(own));
  }
});

it.each([
  ['the key of another agent', () => pemOf(other)],
  ['no key', () => 'garbage'],
])('counts a file that holds %s as none, and puts the right one in its place', (_, content) => {
  fs.mkdirSync(directory);
  fs.writeFileSync(file, content());
  expect(opened().read()).toBeNull();
  opened().learn(derOf(own));
  expect(fs.readFileSync(file, 'utf8')).toBe(pemOf(own));
});
