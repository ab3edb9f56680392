import fs from 'node:fs';
import path from 'node:path';
import type { SealedObject } from './sealed-store-fixture.ts';
import { readTree } from './store-fixture.ts';
import { removeDatabase } from './store-harness.ts';

export type Loss = 'nothing' | 'database' | 'database and journal';

/** Takes from a closed store what it can be rebuilt from the rest of. */
export function lose(loss: Loss, { root, databasePath }: { root: string; databasePath: string }): void {
  if (loss !== 'nothing') removeDatabase(databasePath);
  if (loss === 'database and journal') fs.rmSync(path.join(root, 'journal'), { recursive: true });
}

/** The names of what a sealed store keeps, sorted. */
export function storedNames(root: string): string[] {
  return [...readTree(root).keys()].filter((name) => /^(packs|versions|damaged)\//.test(name)).sort();
}

/** The names of these objects, sorted. */
export function namesOf(objects: readonly SealedObject[]): string[] {
  return objects.map((object): string => object.path).sort();
}
