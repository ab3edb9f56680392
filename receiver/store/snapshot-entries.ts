import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { Damage } from './damage-index.ts';
import type { GapEntry, JournalEntry } from './journal-entry.ts';
import type { IndexMeta } from './index-meta.ts';
import type { MirrorIndex } from './mirror-index.ts';

const rowsAtOnce = 1000;

/** Everything that lives, as one batch of the journal, a group of entries at a time. Nothing may change meanwhile. */
export function* snapshotEntries(index: MirrorIndex, meta: IndexMeta): Generator<JournalEntry[]> {
  const { lastBatch: batch, lastBatchAt: at, nextVersionId, position, completeIndexId, doubtful } = meta;
  const completes = position !== null && completeIndexId?.equals(position.indexId) === true;
  const indexNumber = position === null ? 0 : (index.intervals.byId(position.indexId)?.number ?? 0);
  const stays = { settles: false, forgets: false, doubtful };
  let entries = 0;
  yield [{ type: 'begin', batch, at, nextVersionId, position, indexNumber, completes, ...stays }];
  for (let after = 0; ;) {
    const indexes = index.intervals.indexesAfter(after, rowsAtOnce);
    yield indexes.map((one): JournalEntry => ({ type: 'index', ...one }));
    entries += indexes.length;
    if (indexes.length < rowsAtOnce) break;
    after = indexes.at(-1)?.number ?? after;
  }
  const { forgottenUntil: until } = index.intervals;
  if (until > 0n) {
    yield [{ type: 'forgotten', until }];
    entries += 1;
  }
  for (let after: RelativePath | null = null; ;) {
    const rows = index.liveAfter(after, rowsAtOnce);
    yield rows.map(({ path, holding, namedIn }): JournalEntry => ({
      type: 'set',
      path,
      holding,
      namedIn,
      temp: null,
      replaced: null,
    }));
    entries += rows.length;
    if (rows.length < rowsAtOnce) break;
    after = rows.at(-1)?.path ?? null;
  }
  for (let after: RelativePath | null = null; ;) {
    const rows = index.versionsAfter(after, rowsAtOnce);
    yield rows.map(({ path, replaced, replacedAt }): JournalEntry => ({
      type: 'version',
      path,
      replaced,
      replacedAt,
    }));
    entries += rows.length;
    if (rows.length === 0) break;
    after = rows.at(-1)?.path ?? null;
  }
  for (let after: GapEntry | null = null; ;) {
    const gaps: GapEntry[] = index.intervals.gapsAfter(after, rowsAtOnce);
    yield gaps;
    entries += gaps.length;
    if (gaps.length < rowsAtOnce) break;
    after = gaps.at(-1) ?? null;
  }
  for (let after: Damage | null = null; ;) {
    const damaged: Damage[] = index.damage.after(after, rowsAtOnce);
    yield damaged.map(({ path, id, found, foundAt, aside }): JournalEntry => {
      const name = id === null ? null : (index.intervals.version(id)?.replaced.name ?? null);
      return { type: 'damage', path, id, name, found, foundAt, aside, temp: null };
    });
    entries += damaged.length;
    if (damaged.length < rowsAtOnce) break;
    after = damaged.at(-1) ?? null;
  }
  yield [
    { type: 'intent', batch, entries },
    { type: 'commit', batch, undone: [] },
  ];
}
