import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import {
  createTestKey,
  HeldObjects,
  readVersion,
  SealedBench,
  type TestKey,
} from '../../support/sealed-bench.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

let key: TestKey;
let home: string;
let bench: SealedBench;

beforeAll(async () => {
  key = await createTestKey('owner');
});
beforeEach(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-seal-'));
  bench = await SealedBench.create(home, [key.recipient]);
});
afterEach(() => {
  bench.close();
  fs.rmSync(home, { recursive: true, force: true });
});

const read = async (held: HeldObjects, name = held.latest()) =>
  readVersion(held.files, name, {
    unsealer: key.unsealer,
    agentKeyPem: bench.identity.keyPem,
    folder: bench.folder,
  });

const mib = 1024 * 1024;

it('makes a version that a receiver reads back byte for byte, and sends next to nothing when nothing changed', async () => {
  const content = seededBytes('dump', 20 * mib + 17);
  const held = new HeldObjects('receiver');
  const first = await bench.dump(content);
  expect(first).toMatchObject({ number: 1, plainBytes: content.length, newBytes: content.length });
  held.pull(bench.feed);
  const version = await read(held);
  expect(version.files.get('database.dump')?.equals(content)).toBe(true);
  expect(version.record).toMatchObject({ number: 1, previous: null });

  const before = held.bytesPulled;
  const second = await bench.dump(content);
  held.pull(bench.feed);
  expect(second).toMatchObject({ number: 2, newBytes: 0, epoch: first.epoch });
  expect(held.bytesPulled - before).toBeLessThan(12_000);
  const again = await read(held);
  expect(again.record.number).toBe(2);
  expect(again.files.get('database.dump')?.equals(content)).toBe(true);
});
