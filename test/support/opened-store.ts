import { onTestFinished } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { FeedFake, storeFixture } from './store-fixture.ts';

/** A store, what an agent feeds it with, and the way to open it once more; whatever is opened is closed after the test. */
export async function openedStore(...fixture: Parameters<typeof storeFixture>) {
  const { open: openStore, root } = storeFixture(...fixture);
  const open = async (): Promise<MirrorStore> => {
    const opened = await openStore();
    onTestFinished(() => opened.close());
    return opened;
  };
  const store = await open();
  return { store, root, open, feed: new FeedFake(() => store) };
}
