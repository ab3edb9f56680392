import fs from 'node:fs';
import path from 'node:path';
import { expect, it, vi } from 'vitest';
import { PointBooks } from '../../receiver/point-books.ts';
import { startReceiver } from '../../receiver/receiver.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { homeAt } from '../../shared/io/home.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { PointSigner } from '../support/point-fixture.ts';
import { receiverCopies } from '../support/receiver-copies.ts';
import { FeedFake, indexA, readTree } from '../support/store-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const signer = new PointSigner();
const dayMs = 86_400_000;

/** Contents of a file, each in a point, received more than a year ago; of the first point the owner said that it shall go. */
async function oldHistory(scratch: string): Promise<void> {
  let now = Date.now() - 500 * dayMs;
  const data = path.join(scratch, 'data');
  fs.mkdirSync(data);
  const copies = receiverCopies(scratch, () => now, { versions: { kind: 'points', floorDays: 7 } });
  copies.learnKey(signer.agent, signer.publicKey.export({ type: 'spki', format: 'der' }));
  const clocks = { retentionNow: () => now, now: () => now, steadyNow: () => now };
  const books = new PointBooks({
    copies,
    dataDirectory: data,
    disk: nodeDisk,
    logger: silentLogger,
    ...clocks,
  });
  const store = (await copies.open(signer.agent, 'media', 'mirror')) as MirrorStore;
  const feed = new FeedFake(() => store);
  const ids: string[] = [];
  for (const [number, content] of ['forgotten', 'old', 'kept', 'kept too', 'newest'].entries()) {
    await feed.send({ file: content });
    await feed.complete();
    const { sequence } = feed;
    const part = { id: 'media', kind: 'mirror' as const, from: sequence, to: sequence };
    const folders = [{ ...part, index: indexA.toString('hex') }];
    const { id, record, signature } = signer.point(number + 1, { folders });
    expect(await books.take(signer.agent, record, signature)).toMatchObject({ held: true });
    ids.push(id);
    now += dayMs;
  }
  await (await books.of(signer.agent)).forget(ids.slice(0, 1));
  await books.close();
  await copies.close();
}

it('takes up what was forgotten half a minute after its start, and what is due after a minute, and again and again', async () => {
  const scratch = temporaryDirectory();
  await oldHistory(scratch);
  const home = path.join(scratch, 'home');
  await createDeviceIdentity(home);
  fs.writeFileSync(path.join(home, 'receiver.yaml'), `data: ${path.join(scratch, 'data')}\nlisten: []\n`);
  const held = (): string[] =>
    [...readTree(path.join(scratch, 'data', signer.agent, 'media', 'versions')).values()].map(String).sort();
  const logger = new LogRecorder();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  try {
    const life = { number: 1, reload: () => {} };
    const receiver = await startReceiver(homeAt(home, 'receiver.yaml'), logger, life);
    expect(held()).toEqual(['forgotten', 'kept', 'kept too', 'old']);
    await vi.advanceTimersByTimeAsync(30_000);
    await logger.line(({ message }) => message === 'what forgotten restore points needed was removed');
    expect(held()).toEqual(['kept', 'kept too', 'old']);
    await vi.advanceTimersByTimeAsync(30_000);
    await logger.line(({ message }) => message === 'what is kept no longer was removed');
    expect(held()).toEqual(['kept', 'kept too']);
    await receiver.stop();
  } finally {
    vi.useRealTimers();
  }
});
