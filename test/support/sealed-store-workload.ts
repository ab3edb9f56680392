import fs from 'node:fs';
import { expect } from 'vitest';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import type { FileRecord } from '../../shared/records/file-record.ts';
import { parseVersionRecord } from '../../shared/sealing/version-record.ts';
import { packObject, sealedStoreFixture, versionObjects, type SealedObject } from './sealed-store-fixture.ts';
import type { SeededRandom } from './seeded-random.ts';
import { fileState, readTree, sha256 } from './store-fixture.ts';
import type { StoreWorkload } from './store-harness.ts';

/** Objects by name: `p3` a pack, `r2` the root of version 2, `j2` and `s2` its record and signature. */
export type SealedOperation =
  | { do: 'send'; indexId: string; sequence: number; objects: string[] }
  | { do: 'expire' }
  | { do: 'reopen'; losingDatabase: boolean };

export type SealedImage = {
  position: string | null;
  objects: string[];
  versions: [number: number, complete: boolean][];
};

const packs = 8;
const versionsMax = 60;

/** What version `number` needs: its own root, and packs that it shares with others. */
function neededBy(number: number): string[] {
  return [`r${number}`, `p${number % packs}`, `p${(number * 3 + 1) % packs}`].filter(
    (name, at, all) => all.indexOf(name) === at,
  );
}

const made = new Map<number, ReturnType<typeof versionObjects>>();

function madeVersion(number: number): ReturnType<typeof versionObjects> {
  const known = made.get(number);
  if (known !== undefined) return known;
  const previous = number === 1 ? null : madeVersion(number - 1).hash;
  const version = versionObjects(number, neededBy(number).map(object), { previous });
  made.set(number, version);
  return version;
}

function object(name: string): SealedObject {
  const number = Number(name.slice(1));
  if (name.startsWith('j')) return madeVersion(number).json;
  if (name.startsWith('s')) return madeVersion(number).signature;
  return packObject(name);
}

const namesByPath = new Map<string, string>();

function nameOf(path: string): string {
  if (namesByPath.size === 0) {
    for (let at = 0; at < packs; at += 1) namesByPath.set(object(`p${at}`).path, `p${at}`);
    for (let number = 1; number <= versionsMax; number += 1) {
      for (const kind of ['r', 'j', 's']) namesByPath.set(object(kind + number).path, kind + number);
    }
  }
  return namesByPath.get(path) ?? path;
}

class SealedModel {
  readonly #position: string | null;
  readonly #objects: ReadonlySet<string>;

  constructor(position: string | null = null, objects: ReadonlySet<string> = new Set()) {
    this.#position = position;
    this.#objects = objects;
  }

  apply(operation: SealedOperation): SealedModel {
    switch (operation.do) {
      case 'send': {
        const { indexId, sequence, objects } = operation;
        const reached = `${indexId}:${sequence + objects.length - 1}`;
        return new SealedModel(reached, new Set([...this.#objects, ...objects]));
      }
      case 'expire': {
        const needed = new Set(this.#versions().flatMap(neededBy));
        const kept = [...this.#objects].filter((name) => /^[js]/.test(name) || needed.has(name));
        return new SealedModel(this.#position, new Set(kept));
      }
      case 'reopen':
        return this;
    }
  }

  image(): SealedImage {
    return {
      position: this.#position,
      objects: [...this.#objects].sort(),
      versions: this.#versions().map((number) => [
        number,
        neededBy(number).every((name) => this.#objects.has(name)),
      ]),
    };
  }

  #versions(): number[] {
    const numbers = [...this.#objects]
      .filter((name) => name.startsWith('j'))
      .map((name) => Number(name.slice(1)));
    return numbers.filter((number) => this.#objects.has(`s${number}`)).sort((a, b) => a - b);
  }
}

/** A sealed store under random operations: packs, whole and half versions, expiry of all leases, restarts. */
export const sealedWorkload: StoreWorkload<SealedStore, SealedOperation, SealedImage> = {
  place: 'database',
  model: () => new SealedModel(),
  fixture: (directory, deps = {}) => sealedStoreFixture(directory, deps, { journalSegmentBytesMax: 6000 }),
  nextOperation(random, store) {
    const position = store.position();
    const kind = random.fraction();
    if (kind < 0.15) return { do: 'expire' };
    if (kind < 0.25) return { do: 'reopen', losingDatabase: random.chance(0.5) };
    const renews = position === null || kind < 0.32;
    return {
      do: 'send',
      indexId: renews ? random.hex(16) : position.indexId.toString('hex'),
      sequence: renews ? 1 : position.sequence + 1,
      objects: randomObjects(random, store),
    };
  },
  async perform(store, operation) {
    if (operation.do === 'send') await send(store, operation);
    else if (operation.do === 'expire') await store.expire(Number.MAX_SAFE_INTEGER);
    else throw new Error('reopening is not for the store to do');
  },
  imageOf(store) {
    const position = store.position();
    const { entries } = store.entriesAt({ at: null, after: null, limit: 1000 });
    return {
      position: position === null ? null : `${position.indexId.toString('hex')}:${position.sequence}`,
      objects: entries
        .filter(({ path }) => path !== 'agent.pem')
        .map(({ path }) => nameOf(path))
        .sort(),
      versions: store
        .listVersions()
        .map(({ number, complete }): [number, boolean] => [number, complete])
        .sort(([a], [b]) => a - b),
    };
  },
  expectTreesToMatch(store, root) {
    const { entries } = store.entriesAt({ at: null, after: null, limit: 1000 });
    const said = entries.flatMap(({ path, state }): [string, string][] =>
      state.kind === 'file' && path !== 'agent.pem' ? [[path, state.hash.toString('hex')]] : [],
    );
    const found = [...readTree(root)].filter(([path]) => /^(packs|versions)\//.test(path));
    expect(Object.fromEntries(found.map(([path, bytes]) => [path, sha256(bytes).toString('hex')]))).toEqual(
      Object.fromEntries(said),
    );
    const files = new Map(found);
    for (const { number, epoch, complete } of store.listVersions()) {
      if (!complete) continue;
      const json = files.get(`versions/${String(number).padStart(10, '0')}-${epoch}.json`);
      expect(json).toBeDefined();
      for (const [hash] of parseVersionRecord(json ?? Buffer.alloc(0)).packs)
        expect(said.map(([, held]) => held)).toContain(hash);
    }
  },
  expectOnlyWholeFiles(root, story) {
    if (!fs.existsSync(`${root}/packs`)) return;
    for (const [name, content] of readTree(`${root}/packs`))
      expect(`${sha256(content).toString('hex')}.pgp`, story).toBe(name);
  },
  expectPartOf(image, possible, story) {
    expect(image.position, story).toEqual(possible[0]?.position);
    const held = possible.map(({ objects }) => new Set(objects));
    for (const name of image.objects)
      expect(
        held.some((one) => one.has(name)),
        `${story}: ${name}`,
      ).toBe(true);
    const kept = possible[0]?.objects.filter((name) => held.every((one) => one.has(name))) ?? [];
    expect(image.objects, story).toEqual(expect.arrayContaining(kept));
  },
  tables: [
    'live ORDER BY path',
    'sealed_versions ORDER BY epoch, number',
    'sealed_packs ORDER BY hash',
    'meta',
  ],
};

function randomObjects(random: SeededRandom, store: SealedStore): string[] {
  const held = new Set(sealedWorkload.imageOf(store).objects);
  const next = Math.min(versionsMax, Math.max(0, ...store.listVersions().map(({ number }) => number)) + 1);
  const loose = random.sample(
    Array.from({ length: packs }, (_, at) => `p${at}`),
    random.integer(1, 3),
  );
  const needed = neededBy(next).filter((name) => random.chance(0.9) && !loose.includes(name));
  const halves = random.pick([
    [],
    [`j${next}`],
    [`s${next}`],
    [`j${next}`, `s${next}`],
    [`j${next}`, `s${next}`],
  ]);
  return [...loose, ...needed, ...halves.filter((half) => !held.has(half))];
}

async function send(store: SealedStore, operation: SealedOperation & { do: 'send' }): Promise<void> {
  const { indexId, sequence, objects } = operation;
  const records = objects.map((name, at): FileRecord => {
    const { path, content } = object(name);
    return { path, sequence: sequence + at, replaces: null, state: fileState(content) };
  });
  for (const [at, record] of records.entries()) {
    const { content } = object(objects[at] ?? '');
    if (store.need(record) === 'nothing') continue;
    if (await store.stageHeld(sha256(content))) continue;
    if (at % 3 > 0) {
      store.stage(sha256(content), content);
      continue;
    }
    const partial = store.openPartial(sha256(content), content.length);
    try {
      if (partial.size < content.length) partial.write(partial.size, content.subarray(partial.size));
      await partial.finish();
    } finally {
      partial.close();
    }
  }
  const through = sequence + objects.length - 1;
  const token = sha256(`${through}`);
  await store.commit({
    indexId: Buffer.from(indexId, 'hex'),
    records,
    missing: [],
    isHead: true,
    through,
    token,
  });
}
