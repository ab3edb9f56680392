import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { crashPoints } from '../../shared/io/crash-point.ts';
import type { SeededRandom } from './seeded-random.ts';
import { memoryDirectory } from './temporary-directory.ts';
import {
  expectNothingLeftIncoming,
  expectRebuildToMatch,
  matching,
  type AnyStore,
  type StoreWorkload,
  type WorkloadModel,
} from './store-harness.ts';

const killsPerDirectory = 10;
const operationsPerRun = 14;

/** Runs a workload of a store in a child that is killed at named points, and looks at what is left. */
export class StoreKills<Store extends AnyStore, Operation extends { do: string }, Image> {
  /** How often the child was killed at each point. */
  readonly killedAt = new Map<string, number>();
  readonly #workload: StoreWorkload<Store, Operation, Image>;
  readonly #name: string;

  /** `name`: of the workload, as the child knows it. */
  constructor(workload: StoreWorkload<Store, Operation, Image>, name: 'mirror' | 'sealed') {
    this.#workload = workload;
    this.#name = name;
  }

  /** Kills runs on one directory; the number of kills. */
  async killRepeatedly(random: SeededRandom, label: string): Promise<number> {
    const directory = memoryDirectory();
    let possible = [this.#workload.model()];
    let kills = 0;
    for (let run = 0; run < killsPerDirectory; run += 1) {
      const point = random.pick(this.points);
      const crashAt = `${point}:${random.integer(1, this.#isRare(point) ? 1 : 6)}`;
      const { lines, killed } = await this.#runChild(directory, `${label}/${run}`, crashAt);
      const story = `${label}/${run} ${crashAt}`;
      if (killed) {
        kills += 1;
        this.killedAt.set(point, (this.killedAt.get(point) ?? 0) + 1);
      }
      possible = this.#follow(possible, lines, story);
      this.#expectOnlyWholeFiles(directory, possible, story);
      if (random.chance(0.5)) possible = [await this.#recoverAndCheck(directory, possible, story)];
    }
    await this.#recoverAndCheck(directory, possible, label);
    await expectRebuildToMatch(this.#workload.fixture(directory), this.#workload.tables);
    fs.rmSync(directory, { recursive: true });
    return kills;
  }

  /** The models that the store may be after what the child said: one, or one more where something was under way. */
  #follow(
    possible: WorkloadModel<Operation, Image>[],
    lines: string[],
    story: string,
  ): WorkloadModel<Operation, Image>[] {
    let models = possible;
    for (const line of lines) {
      const [word, json] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)];
      if (word === 'opened') models = [matching(models, JSON.parse(json) as Image, story)];
      if (word === 'begin')
        models = models.flatMap((model) => [model, model.apply(JSON.parse(json) as Operation)]);
      if (word === 'done') models = models.slice(-1);
    }
    return models;
  }

  #expectOnlyWholeFiles(directory: string, possible: WorkloadModel<Operation, Image>[], story: string): void {
    const { root } = this.#workload.fixture(directory);
    this.#workload.expectOnlyWholeFiles(
      root,
      story,
      possible.map((model) => model.image()),
    );
  }

  /** A run passes it once at most, or not at all. */
  #isRare(point: string): boolean {
    return point.startsWith('store.snapshot') || (this.#name === 'sealed' && point === 'store.removed');
  }

  get points() {
    const isSealed = this.#name === 'sealed';
    return crashPoints.filter((name) => name.startsWith('store.') && !(isSealed && mirrorOnly.has(name)));
  }

  async #recoverAndCheck(
    directory: string,
    possible: WorkloadModel<Operation, Image>[],
    story: string,
  ): Promise<WorkloadModel<Operation, Image>> {
    const { open, root } = this.#workload.fixture(directory);
    const store = await open();
    try {
      const model = matching(possible, this.#workload.imageOf(store), story);
      this.#workload.expectTreesToMatch(store, root);
      expectNothingLeftIncoming(root);
      return model;
    } finally {
      await store.close();
    }
  }

  #runChild(directory: string, seed: string, crashAt: string): Promise<{ lines: string[]; killed: boolean }> {
    const program = path.join(import.meta.dirname, 'store-crash-child.ts');
    const child = spawn(process.execPath, [program, this.#name, directory, seed, String(operationsPerRun)], {
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
}

/** Where a sealed store never comes by: it replaces nothing. */
const mirrorOnly: ReadonlySet<string> = new Set(['store.version-linked', 'store.expired']);
