import { expect, it } from 'vitest';
import { BooksThreads } from '../../receiver/scrub/books-threads.ts';
import { FeedFake, storeFixture } from '../support/store-fixture.ts';

it('compares journal and database in a thread while batches come, and ends with the program', async () => {
  const store = await storeFixture().open();
  const feed = new FeedFake(() => store);
  await feed.send({ a: 'one', b: 'two' });
  const threads = new BooksThreads();
  const verdict = store.scrub.books(async (input, onBegun) => threads.check(input, onBegun));
  for (let at = 0; at < 20; at += 1) await feed.send({ [`file-${at}`]: `content ${at}` });
  expect(await verdict).toEqual({ journal: null, database: null });
  const ended = store.scrub.books(async (input, onBegun) => {
    const check = threads.check(input, onBegun);
    threads.close();
    return check;
  });
  await expect(ended).rejects.toThrow('was ended');
  await feed.send({ a: 'three' });
  await store.close();
});
