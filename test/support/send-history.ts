import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import type { IntervalHistory } from './interval-history.ts';
import { sha256 } from './store-fixture.ts';

/** The contents that paths may have in an IntervalHistory that is sent. */
const contents = ['one', 'two', 'three'];

/** Sends what comes next to each of the stores; what `gone` names had vanished when it was asked for. */
export async function sendHistory(
  stores: readonly MirrorStore[],
  history: IntervalHistory,
  one: { limit: number; gone: readonly string[] },
): Promise<void> {
  const batch = history.next(one.limit);
  if (batch === null) return;
  const missing = batch.records.filter(({ path, state }) => one.gone.includes(path) && state.kind === 'file');
  const records = batch.records.filter((record) => !missing.includes(record));
  const { through, isHead } = batch;
  const indexId = history.index.id;
  for (const store of stores) {
    for (const record of records) {
      const { state } = record;
      if (state.kind !== 'file' || store.need(record) === 'nothing') continue;
      const content = contents.find((text) => sha256(text).equals(state.hash)) ?? '';
      store.stage(state.hash, Buffer.from(content));
    }
    await store.commit({ indexId, records, missing, through, isHead, token: sha256(`${through}`) });
  }
  history.delivered(batch, new Set(missing.map((record) => record.path)));
}
