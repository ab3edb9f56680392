import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { createDeviceIdentity, loadDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { crashPoints, type CrashPoint } from '../../shared/io/crash-point.ts';
import { crashBenchOptions, crashContent } from '../support/seal-crash-content.ts';
import {
  createTestKey,
  HeldObjects,
  readVersion,
  SealedBench,
  type TestKey,
} from '../support/sealed-bench.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const child = fileURLToPath(new URL('../support/seal-crash-child.ts', import.meta.url));
const rounds = 6;
let owner: TestKey;
let other: TestKey;
let home: string;
let held: string;

beforeAll(async () => {
  [owner, other] = await Promise.all([createTestKey('owner'), createTestKey('other')]);
});
beforeEach(async () => {
  const directory = temporaryDirectory();
  [home, held] = [path.join(directory, 'home'), path.join(directory, 'held')];
  for (const made of [home, held]) fs.mkdirSync(made);
  await createDeviceIdentity(home);
  fs.writeFileSync(path.join(home, 'owner.asc'), owner.publicArmored);
  fs.writeFileSync(path.join(home, 'other.asc'), other.publicArmored);
});
afterEach(() => fs.rmSync(path.dirname(home), { recursive: true, force: true }));

/** Runs the child until it is killed at the count-th pass of the point; false where it came to its end. */
function killedAt(point: string, count: number): boolean {
  const ran = spawnSync(process.execPath, [child, home, held, '0', String(rounds)], {
    env: { ...process.env, MASTOKEEP_CRASH_AT: `${point}:${count}` },
    encoding: 'utf8',
  });
  if (ran.signal !== 'SIGKILL' && ran.status !== 0) throw new Error(ran.stderr);
  return ran.signal === 'SIGKILL';
}

/** Every version that the receiver has reads back whole; gives their numbers. */
async function readAll(receiver: HeldObjects, agentKeyPem: string): Promise<number[]> {
  const numbers: number[] = [];
  for (const name of [...receiver.files.keys()].filter((file) => file.endsWith('.json')).sort()) {
    const version = await readVersion(receiver.files, name, {
      unsealer: owner.unsealer,
      agentKeyPem,
      folder: 'database',
    });
    const content = version.files.get('database.dump');
    const round = Array.from({ length: rounds + 1 }, (_, at) => at).find(
      (at) => content?.equals(crashContent(at)) === true,
    );
    expect(round).toBeDefined();
    numbers.push(version.record.number);
  }
  return numbers;
}

type SealPoint = Extract<CrashPoint, `seal.${string}`>;
const isSealPoint = (name: CrashPoint): name is SealPoint => name.startsWith('seal.');
const points = crashPoints.filter(isSealPoint);

/**
 * At which pass of each point the process is killed; a thread that is new with every dump counts its own. Of the first dump's packs,
 * six at least, one of its two threads writes three or more.
 */
const passes: Record<SealPoint, readonly number[]> = {
  'seal.pack-written': [1, 3],
  'seal.pack-indexed': [2, 8],
  'seal.root-written': [1],
  'seal.root-indexed': [3],
  'seal.signature-written': [1],
  'seal.record-written': [4],
  'seal.version-indexed': [1, 5],
  'seal.spool-left': [1, 4],
  'seal.spool-removed': [2],
  'seal.epoch-started': [1, 2],
};

it.each(points.flatMap((point) => passes[point].map((count) => [point, count] as const)))(
  'after a kill at %s, pass %i, versions are whole and nothing stays in the spool that nobody waits for',
  async (point, count) => {
    expect(killedAt(point, count)).toBe(true);
    const keys = [owner.recipient, other.recipient];
    const bench = SealedBench.reuse(home, keys, loadDeviceIdentity(home), crashBenchOptions);
    try {
      const receiver = HeldObjects.load('receiver', held);
      const inSpool = bench.sealed.index.objects.spooled().map(({ name }) => name);
      expect(bench.spoolNames().sort()).toEqual(inSpool.sort());
      const before = bench.sealed.index.lastVersion()?.number ?? 0;
      const made = await bench.dump(crashContent(rounds));
      expect(made.number).toBe(before + 1);
      receiver.pull(bench.feed);
      const numbers = await readAll(receiver, bench.identity.keyPem);
      expect(numbers).toEqual(Array.from({ length: made.number }, (_, at) => at + 1));
      bench.sealed.keeper.settle();
      expect(bench.spoolNames()).toEqual([]);
    } finally {
      bench.close();
    }
  },
);
