import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { SealedEvent, SealEvent } from '../../../agent/seal/seal-message.ts';
import { SealingThreads } from '../../../agent/seal/sealing-threads.ts';
import { Sealer } from '../../../shared/sealing/sealer.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { memoryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const mib = 1024 * 1024;
const sealer = Sealer.toPassphrase('correct horse');
let spoolDirectory: string;
let threads: SealingThreads;
const sealed: { event: SealedEvent; lyingThere: number }[] = [];
const failures: (Error | SealEvent)[] = [];

afterEach(async () => {
  await threads.close();
  sealed.length = 0;
  failures.length = 0;
});

const packs = (): string[] =>
  fs.readdirSync(path.join(spoolDirectory, 'packs')).filter((name) => !name.endsWith('.tmp'));

function start(nothingKnown: boolean): void {
  spoolDirectory = memoryDirectory();
  threads = new SealingThreads(
    { spoolDirectory, nothingKnown },
    {
      onSealed: (event) => void sealed.push({ event, lyingThere: packs().length }),
      onFailed: (event) => void failures.push(event),
      onEnded: (error) => void failures.push(error),
    },
  );
}

/** Seals contents of these sizes, given one right after the other, and waits for all of them. */
async function sealAll(...sizes: readonly number[]): Promise<void> {
  const before = sealed.length;
  for (const [at, size] of sizes.entries()) {
    const content = new Uint8Array(seededBytes(`content ${before + at}`, size));
    threads.seal({ kind: 'pack', id: before + at, content, key: await sealer.createMessageKey() });
  }
  await until('all are sealed', () => sealed.length === before + sizes.length || failures.length > 0);
  expect(failures).toEqual([]);
}

it('seals two packs of a first dump at once, and reports them in the order in which they were given', async () => {
  start(true);
  // both threads have started behind this
  await sealAll(8 * mib, 1000);
  await sealAll(12 * mib, 1000, 12 * mib, 1000);
  expect(sealed.map(({ event }) => event.id)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(sealed.map(({ event }) => event.buffer.byteLength)).toEqual([
    8 * mib,
    1000,
    12 * mib,
    1000,
    12 * mib,
    1000,
  ]);
  // the small one lay in the spool before the large one that it had to wait for
  expect(sealed[2]?.lyingThere).toBeGreaterThan(3);
  expect(threads.requestsMax).toBe(3);
});

it('seals with one thread where something is known', async () => {
  start(false);
  await sealAll(1000, 2 * mib, 1000);
  expect(sealed.map(({ event }) => event.id)).toEqual([0, 1, 2]);
  expect(threads.requestsMax).toBe(2);
});

it('says what could not be written', async () => {
  start(true);
  await sealAll(1000);
  fs.rmSync(spoolDirectory, { recursive: true });
  const key = await sealer.createMessageKey();
  threads.seal({ kind: 'pack', id: 1, content: new Uint8Array(1000), key });
  await until('it has failed', () => failures.length > 0);
  expect(failures).toMatchObject([{ type: 'failed', code: 'ENOENT' }]);
  expect(sealed).toHaveLength(1);
});
