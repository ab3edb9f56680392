import fs from 'node:fs';
import { expect } from 'vitest';
import type { Moment } from '../../receiver/store/moment.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { MirrorStoreDeps } from '../../receiver/store/open-mirror-store.ts';
import type { FileRecord, PathState } from '../../shared/records/file-record.ts';
import { parseRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { SeededRandom } from './seeded-random.ts';
import { fileState, readTree, sha256, storeFixture } from './store-fixture.ts';
import type { StoreWorkload } from './store-harness.ts';
import {
  modelBytes,
  modelContents,
  modelPaths,
  StoreModel,
  type ModelState,
  type StoreImage,
  type StoreOperation,
} from './store-model.ts';

/** A store whose journal is made of small segments and whose retention keeps two versions. */
export function workloadFixture(directory: string, deps: Partial<MirrorStoreDeps> = {}) {
  return storeFixture(directory, deps, {
    journalSegmentBytesMax: 6000,
    retention: { kind: 'simple', keep: versionsKept, cleanoutDays: 0, floorDays: 0 },
  });
}

export const versionsKept = 2;

/** The next operation of a random workload, one that the store's position allows. */
function nextOperation(random: SeededRandom, store: MirrorStore): StoreOperation {
  const position = store.position();
  const indexId = position?.indexId.toString('hex') ?? random.hex(16);
  const kind = random.fraction();
  if (position !== null && kind < 0.08) return { do: 'complete', indexId };
  if (kind < 0.16) return { do: 'expire', keep: versionsKept };
  if (kind < 0.24) return { do: 'reopen', losingDatabase: random.chance(0.5) };
  const renews = kind < 0.32;
  const next = renews ? 1 : (position?.sequence ?? 0) + 1;
  const paths = random.sample(modelPaths, random.integer(1, 5));
  return {
    do: 'send',
    indexId: renews ? random.hex(16) : indexId,
    sequence: next,
    changes: paths.map((path) => [path, randomState(random), randomReplaces(random, next)]),
    missing: random.chance(0.3)
      ? random
          .sample(modelPaths, 2)
          .filter((path) => !paths.includes(path))
          .map((path) => [path, randomReplaces(random, next)])
      : [],
    isHead: random.chance(0.5),
  };
}

/** Any earlier sequence may be what an agent says; most of the later ones are of contents that never came. */
function randomReplaces(random: SeededRandom, next: number): number | null {
  if (next === 1 || random.chance(0.5)) return null;
  return random.integer(Math.max(1, next - 12), next - 1);
}

function randomState(random: SeededRandom): ModelState | null {
  const kind = random.fraction();
  if (kind < 0.25) return null;
  if (kind < 0.32) return `link:${random.pick(modelPaths.slice(0, 3))}`;
  if (kind < 0.4) return `dir:${random.pick(['700', '755'])}`;
  return random.pick(modelContents) + (random.chance(0.3) ? '+x' : '');
}

/** Does a send, complete or expire as a receiver does. */
export async function perform(store: MirrorStore, operation: StoreOperation): Promise<void> {
  switch (operation.do) {
    case 'send':
      return send(store, operation);
    case 'complete': {
      const position = store.position();
      if (position === null) throw new Error('there is no index to complete');
      await store.completeIndex(position);
      return;
    }
    case 'expire':
      await store.expire(Number.MAX_SAFE_INTEGER);
      return;
    case 'reopen':
      throw new Error('reopening is not for the store to do');
  }
}

async function send(store: MirrorStore, operation: StoreOperation & { do: 'send' }): Promise<void> {
  const { sequence, changes, missing } = operation;
  const records = changes.map(([path, state, replaces], at): FileRecord => ({
    path: path as RelativePath,
    sequence: sequence + at,
    replaces,
    state: recordState(state),
  }));
  const gone = missing.map(([path, replaces], at): FileRecord => ({
    path: path as RelativePath,
    sequence: sequence + changes.length + at,
    replaces,
    state: fileState('gone before it was sent'),
  }));
  for (const [at, record] of records.entries()) {
    const { state } = record;
    const need = store.need(record);
    if (state.kind !== 'file' || need === 'nothing') continue;
    if (need === 'held' && (await store.stageHeld(state.hash, state.size))) continue;
    const bytes = modelBytes((changes[at]?.[1] ?? '').replace(/\+x$/, ''));
    if (bytes.length < 1000) store.stage(state.hash, bytes);
    else await sendInPieces(store, state.hash, bytes);
  }
  const through = sequence + changes.length + missing.length - 1;
  const indexId = Buffer.from(operation.indexId, 'hex');
  await store.commit({
    indexId,
    records,
    missing: gone,
    through,
    token: sha256(`${through}`),
    isHead: operation.isHead,
  });
}

async function sendInPieces(store: MirrorStore, hash: Buffer, bytes: Buffer): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const partial = store.openPartial(hash, bytes.length);
    try {
      for (let at = partial.size; at < bytes.length; at += 100_000)
        partial.write(at, bytes.subarray(at, at + 100_000));
      return await partial.finish();
    } catch (error) {
      if (attempt === 2 || !(error instanceof Error && 'code' in error && error.code === 'CONTENT_MISMATCH'))
        throw error;
    } finally {
      partial.close();
    }
  }
}

function recordState(state: ModelState | null): PathState {
  if (state === null) return { kind: 'deleted' };
  if (state.startsWith('dir:'))
    return { kind: 'directory', mode: Number.parseInt(state.slice(4), 8), uid: 0, gid: 0 };
  if (state.startsWith('link:')) {
    return { kind: 'symlink', target: Buffer.from(state.slice(5), 'latin1'), mtimeNs: 0n, uid: 0, gid: 0 };
  }
  const isExecutable = state.endsWith('+x');
  return { ...fileState(modelBytes(state.replace(/\+x$/, ''))), mode: isExecutable ? 0o755 : 0o644 };
}

const contentNames = new Map(modelContents.map((name) => [sha256(modelBytes(name)).toString('hex'), name]));

function modelState(state: PathState): ModelState {
  switch (state.kind) {
    case 'file':
      return (contentNames.get(state.hash.toString('hex')) ?? 'unknown') + (state.mode === 0o755 ? '+x' : '');
    case 'symlink':
      return `link:${state.target.toString('latin1')}`;
    case 'directory':
      return `dir:${state.mode.toString(8)}`;
    case 'deleted':
      return 'deleted';
  }
}

/** What the store shows of itself. */
export function imageOf(store: MirrorStore): StoreImage {
  const position = store.position();
  const { entries } = store.entriesAt({ at: null, after: null, limit: 1000 });
  const versions = modelPaths.toSorted().map((path): StoreImage['versions'][number] => {
    const states = store.listVersions(parseRelativePath(Buffer.from(path, 'latin1')));
    return [
      path,
      states
        .toReversed()
        .map(({ state, begun, ended }) => [modelState(state), momentText(begun), momentText(ended ?? 0n)]),
    ];
  });
  return {
    position: position === null ? null : `${position.indexId.toString('hex')}:${position.sequence}`,
    live: entries.map(({ path, state, begun }) => [path, modelState(state), momentText(begun)]),
    versions: versions.filter(([, states]) => states.length > 0),
    gaps: [...Map.groupBy(store.gaps(null, 10_000), ({ path }) => path)].map(([path, gaps]) => [
      path,
      gaps.map(({ begun, ended }) => [momentText(begun), ended === null ? null : momentText(ended)]),
    ]),
  };
}

function momentText(moment: Moment): string {
  return `${moment >> 44n}:${moment & (2n ** 44n - 1n)}`;
}

/**
 * That the plain files are what the store says: no file in `current/` or `versions/` is missing, more than once there,
 * half-written or unknown.
 */
export function expectTreesToMatch(store: MirrorStore, root: string): void {
  const { entries } = store.entriesAt({ at: null, after: null, limit: 1000 });
  const live = entries.flatMap(({ path, state }): [string, string][] =>
    state.kind === 'file' ? [[path, state.hash.toString('hex')]] : [],
  );
  expect(hashes(`${root}/current`)).toEqual(Object.fromEntries(live));
  const versions = modelPaths.flatMap((path) =>
    store
      .listVersions(parseRelativePath(Buffer.from(path, 'latin1')))
      .flatMap(({ name, state }): [string, string][] =>
        state.kind === 'file' ? [[name ?? 'has no name', state.hash.toString('hex')]] : [],
      ),
  );
  expect(hashes(`${root}/versions`)).toEqual(Object.fromEntries(versions));
  expect(new Set(versions.map(([name]) => name)).size).toBe(versions.length);
  for (const { path, state } of entries) {
    if (state.kind !== 'directory') continue;
    expect(fs.statSync(Buffer.from(`${root}/current/${path}`, 'latin1')).isDirectory()).toBe(true);
  }
}

function hashes(directory: string): Record<string, string> {
  return Object.fromEntries(
    [...readTree(directory)].map(([name, content]) => [name, sha256(content).toString('hex')]),
  );
}

/** A mirror store under random operations. */
export const mirrorWorkload: StoreWorkload<MirrorStore, StoreOperation, StoreImage> = {
  place: 'media',
  model: () => new StoreModel(),
  fixture: workloadFixture,
  nextOperation,
  perform,
  imageOf,
  expectTreesToMatch,
  expectOnlyWholeFiles,
  expectPartOf,
  tables: [
    'live ORDER BY path',
    'versions ORDER BY id',
    'gaps ORDER BY path, begun',
    'indexes ORDER BY number',
    'meta',
  ],
};

function expectOnlyWholeFiles(root: string, story: string, possible: StoreImage[]): void {
  const known = new Map<string, Set<string>>();
  for (const image of possible) {
    for (const [name, state] of image.live) {
      const content = state.replace(/\+x$/, '');
      if (!modelContents.includes(content)) continue;
      known.set(name, (known.get(name) ?? new Set()).add(sha256(modelBytes(content)).toString('hex')));
    }
  }
  const current = `${root}/current`;
  if (!fs.existsSync(current)) return;
  for (const [name, content] of readTree(current)) {
    expect([...(known.get(name) ?? [])], `${story}: ${name}`).toContain(sha256(content).toString('hex'));
  }
}

function expectPartOf(image: StoreImage, images: StoreImage[], story: string): void {
  expect(image.position, story).toEqual(images[0]?.position);
  const paths = new Set(
    [...images, image].flatMap(({ live, versions, gaps }) =>
      [...live, ...versions, ...gaps].map(([name]) => name),
    ),
  );
  for (const name of paths) {
    expect(
      images.map((one) => stateAt(one, name)),
      `${story}: ${name}`,
    ).toContainEqual(stateAt(image, name));
  }
}

function stateAt({ live, versions, gaps }: StoreImage, wanted: string): unknown {
  return [
    live.find(([name]) => name === wanted)?.slice(1),
    versions.find(([name]) => name === wanted)?.[1],
    gaps.find(([name]) => name === wanted)?.[1],
  ];
}
