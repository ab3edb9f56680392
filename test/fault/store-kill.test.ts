import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { crashPoints } from '../../shared/io/crash-point.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { readTree, sha256, memoryDirectory } from '../support/store-fixture.ts';
import {
  modelBytes,
  modelContents,
  StoreModel,
  type StoreImage,
  type StoreOperation,
} from '../support/store-model.ts';
import {
  expectNothingLeftIncoming,
  expectRebuildToMatch,
  expectTreesToMatch,
  imageOf,
  workloadFixture,
} from '../support/store-workload.ts';

/**
 * The invariant: however often the process is killed, at whatever point, a store that is opened again is exactly what
 * was acknowledged, or that and all of the one operation that was under way.
 */
const killsMin = 100;
const killsPerDirectory = 10;
const operationsPerRun = 14;
const lanes = process.env['MASTOKEEP_SEED']?.split(',') ?? ['kill-1', 'kill-2'];
const storePoints = crashPoints.filter((name) => name.startsWith('store.'));
const killedAt = new Map<string, number>();

afterAll(() => {
  console.log(`kills: ${JSON.stringify(Object.fromEntries(killedAt))}`);
});

it.concurrent.each(lanes)(
  'holds what it acknowledged through 100 kills at named points (seed %s)',
  async (seed) => {
    const random = new SeededRandom(seed);
    for (let kills = 0; kills < killsMin;) kills += await killRepeatedly(random, `${seed}/${kills}`);
  },
  900_000,
);

it('was killed at every named point', () => {
  if (process.env['MASTOKEEP_SEED'] !== undefined) return;
  expect([...killedAt.keys()].toSorted()).toEqual(storePoints.toSorted());
});

/** Kills runs on one directory; the number of kills. */
async function killRepeatedly(random: SeededRandom, label: string): Promise<number> {
  const directory = memoryDirectory();
  let possible = [new StoreModel()];
  let kills = 0;
  for (let run = 0; run < killsPerDirectory; run += 1) {
    const point = random.pick(storePoints);
    const crashAt = `${point}:${random.integer(1, point.startsWith('store.snapshot') ? 1 : 6)}`;
    const { lines, killed } = await runChild(directory, `${label}/${run}`, crashAt);
    const story = `${label}/${run} ${crashAt}`;
    if (killed) {
      kills += 1;
      killedAt.set(point, (killedAt.get(point) ?? 0) + 1);
    }
    possible = follow(possible, lines, story);
    expectOnlyWholeFiles(directory, possible, story);
    if (random.chance(0.5)) possible = [await recoverAndCheck(directory, possible, story)];
  }
  await recoverAndCheck(directory, possible, label);
  await expectRebuildToMatch(directory);
  fs.rmSync(directory, { recursive: true });
  return kills;
}

/** The models that the store may be after what the child said: one, or one more where something was under way. */
function follow(possible: StoreModel[], lines: string[], story: string): StoreModel[] {
  let models = possible;
  for (const line of lines) {
    const [word, json] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)];
    if (word === 'opened') models = [matching(models, JSON.parse(json) as StoreImage, story)];
    if (word === 'begin')
      models = models.flatMap((model) => [model, model.apply(JSON.parse(json) as StoreOperation)]);
    if (word === 'done') models = models.slice(-1);
  }
  return models;
}

function matching(models: StoreModel[], image: StoreImage, story: string): StoreModel {
  const model = models.find((candidate) => JSON.stringify(candidate.image()) === JSON.stringify(image));
  if (model === undefined) expect(image, story).toEqual(models.at(-1)?.image());
  return model ?? new StoreModel();
}

/** Before any recovery: what can be seen in `current/` is whole, and was there or is there in one of the models. */
function expectOnlyWholeFiles(directory: string, possible: StoreModel[], story: string): void {
  const known = new Map<string, Set<string>>();
  for (const model of possible) {
    for (const [name, state] of model.image().live) {
      const content = state.replace(/\+x$/, '');
      if (!modelContents.includes(content)) continue;
      known.set(name, (known.get(name) ?? new Set()).add(sha256(modelBytes(content)).toString('hex')));
    }
  }
  const current = path.join(directory, 'data/agent/media/current');
  if (!fs.existsSync(current)) return;
  for (const [name, content] of readTree(current)) {
    expect([...(known.get(name) ?? [])], `${story}: ${name}`).toContain(sha256(content).toString('hex'));
  }
}

async function recoverAndCheck(
  directory: string,
  possible: StoreModel[],
  story: string,
): Promise<StoreModel> {
  const { open, root } = workloadFixture(directory);
  const store = await open();
  try {
    const model = matching(possible, imageOf(store), story);
    expectTreesToMatch(store, root);
    expectNothingLeftIncoming(root);
    return model;
  } finally {
    await store.close();
  }
}

function runChild(
  directory: string,
  seed: string,
  crashAt: string,
): Promise<{ lines: string[]; killed: boolean }> {
  const program = path.join(import.meta.dirname, '../support/store-crash-child.ts');
  const child = spawn(process.execPath, [program, directory, seed, String(operationsPerRun)], {
    env: { ...process.env, MASTOKEEP_CRASH_AT: crashAt },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (signal === 'SIGKILL' || code === 0) {
        resolve({ lines: output.split('\n').slice(0, -1), killed: signal === 'SIGKILL' });
      } else reject(new Error(`${seed} ${crashAt}: the child ended with ${code ?? signal}: ${errors}`));
    });
  });
}
