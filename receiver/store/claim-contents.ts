import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Logger } from '../../shared/io/logger.ts';
import type { HeldContent } from './held-content.ts';
import { hashOf, sizeOf, type SetEntry } from './journal-entry.ts';
import type { Staging } from './staging.ts';

type Deps = { staging: Staging; held: HeldContent; logger: Logger };

const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/**
 * Takes the staged contents of a batch out for its commit and writes their names into `temp` of the entries; gives
 * their bytes. When it rejects, all that was staged still is.
 * @throws CodedError CONTENT_MISMATCH (content not staged), PROTOCOL_VIOLATION (another size), STORE_FULL, QUOTA_REACHED, DISK_FAILED
 */
export async function claimContents(deps: Deps, entries: readonly SetEntry[]): Promise<number> {
  const claimed: SetEntry[] = [];
  try {
    for (const group of Map.groupBy(entries, contentKey).values()) {
      const names = await claim(deps, group);
      for (const [at, entry] of group.entries()) entry.temp = names[at] ?? null;
      claimed.push(...group);
    }
  } catch (error) {
    for (const { temp, holding } of claimed) {
      deps.staging.unclaim(hashOf(holding), temp ?? '', sizeOf(holding));
    }
    throw error;
  }
  return entries.reduce((bytes, { holding }) => bytes + sizeOf(holding), 0);
}

/** Stages a verified copy of content that this agent's folders hold. False: it is not held, or damaged. */
export async function stageHeldContent(deps: Deps, hash: Buffer, size: number): Promise<boolean> {
  const { staging, held, logger } = deps;
  if (staging.has(hash)) return true;
  if (size === 0 && hash.toString('hex') === emptyHash) {
    staging.stage(hash, Buffer.alloc(0));
    return true;
  }
  for (const source of held.sources(hash, size)) {
    try {
      if (await staging.stageCopy(hash, size, source)) return true;
    } finally {
      source.close();
    }
    logger.warn({ hash: hash.toString('hex') }, 'held content is damaged; it is fetched again');
  }
  return false;
}

/** Content staged for this batch may have been used up by the one before; then it is in current/ or versions/. */
async function claim(deps: Deps, group: readonly SetEntry[]): Promise<string[]> {
  const { staging } = deps;
  const [first] = group;
  if (first === undefined) return [];
  const [hash, size] = [hashOf(first.holding), sizeOf(first.holding)];
  const names =
    (await staging.claim(hash, size, group.length)) ??
    ((await stageHeldContent(deps, hash, size)) ? await staging.claim(hash, size, group.length) : null);
  if (names !== null) return names;
  throw new CodedError('CONTENT_MISMATCH', `content ${hash.toString('hex')} is not staged`, {
    context: { size },
  });
}

function contentKey({ holding }: SetEntry): string {
  return `${hashOf(holding).toString('hex')}:${sizeOf(holding)}`;
}
