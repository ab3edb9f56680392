import fs from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import type { SealedEvent, SealEvent } from '../../../agent/seal/seal-message.ts';
import { SealingThreads } from '../../../agent/seal/sealing-threads.ts';
import { Sealer } from '../../../shared/sealing/sealer.ts';
import { ifThere } from '../../support/if-there.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { memoryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const mib = 1024 * 1024;
const sealer = Sealer.toPassphrase('correct horse');
let spoolDirectory: string;
let threads: SealingThreads;
const sealed: SealedEvent[] = [];
const failures: (Error | SealEvent)[] = [];

afterEach(async () => {
  await threads.close();
  sealed.length = 0;
  failures.length = 0;
});

/** Threads of this process by that name, as the kernel tells them. */
const sealingThreads = (): number =>
  fs
    .readdirSync('/proc/self/task')
    .filter((task) => ifThere(() => fs.readFileSync(`/proc/self/task/${task}/comm`, 'utf8')) === 'sealing\n')
    .length;

function start(nothingKnown: boolean, directory = memoryDirectory()): void {
  spoolDirectory = directory;
  threads = new SealingThreads(
    { spoolDirectory, nothingKnown },
    {
      onSealed: (event) => void sealed.push(event),
      onFailed: (event) => void failures.push(event),
      onEnded: (error) => void failures.push(error),
    },
  );
}

/** Seals contents of these sizes, given one right after the other, and waits for all of them. */
async function sealAll(...sizes: readonly number[]): Promise<void> {
  const before = sealed.length;
  const keys = await Promise.all(sizes.map(async () => sealer.createMessageKey()));
  for (const [at, key] of keys.entries()) {
    const content = new Uint8Array(seededBytes(`content ${before + at}`, sizes[at] ?? 0));
    threads.seal({ kind: 'pack', id: before + at, content, key });
  }
  await until('all are sealed', () => sealed.length === before + sizes.length || failures.length > 0);
  expect(failures).toEqual([]);
}

it('seals two packs of a first dump at once, and reports them in the order in which they were given', async () => {
  start(true);
  await sealAll(1000);
  expect(sealingThreads()).toBe(1);
  const sizes = [4 * mib, 1000, 4 * mib, 1000, 4 * mib, 1000, 1000, 1000];
  await sealAll(...sizes);
  expect(sealed.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  expect(sealed.map(({ buffer }) => buffer.byteLength)).toEqual([1000, ...sizes]);
  expect(sealingThreads()).toBe(2);
  expect(threads.requestsMax).toBe(3);
});

it('seals with one thread where something is known', async () => {
  start(false);
  await sealAll(1000, 2 * mib, 1000);
  expect(sealed.map(({ id }) => id)).toEqual([0, 1, 2]);
  expect(sealingThreads()).toBe(1);
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

it('says that a thread has broken off', async () => {
  start(true, '/dev/null/spool');
  await until('it has ended', () => failures.length > 0);
  expect(failures[0]).toBeInstanceOf(Error);
});
