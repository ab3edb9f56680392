import { createPublicKey } from 'node:crypto';
import fs from 'node:fs';
import { PointBook } from '../../receiver/points/point-book.ts';
import { defaultPointRules } from '../../receiver/retention/point-retention.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';

/**
 * Takes, pins, forgets and expires the points of `DIRECTORY AGENT FILE`, until it ends or is killed. FILE: JSON of the public key
 * and the points. Says what is acknowledged, a line each, before it goes on.
 */
const [directory = '', agent = '', file = ''] = process.argv.slice(2);
const say = (word: string, id: string): void => void fs.writeSync(1, `${word} ${id}\n`);
type Input = { publicKey: string; points: { id: string; record: string; signature: string }[] };
const { publicKey, points } = JSON.parse(fs.readFileSync(file, 'utf8')) as Input;
let retentionMs = 0;
const book = await PointBook.open(
  {
    disk: nodeDisk,
    agentKey: () => createPublicKey(publicKey),
    retentionNow: () => retentionMs,
    now: () => 0,
    steadyNow: () => 0,
    isForgotten: () => false,
    logger: silentLogger,
  },
  { directory, agent },
);
for (const [at, { id, record, signature }] of points.entries()) {
  if (book.forgotten().some((forgotten) => forgotten.id === id)) continue;
  const answer = await book.take(Buffer.from(record, 'base64'), Buffer.from(signature, 'base64'));
  if (answer.held) say('held', id);
  if (at % 3 !== 0) continue;
  await book.pin(id, 'kept');
  say('pinned', id);
}
const forgettable = points[1]?.id ?? '';
say('forgetting', forgettable);
if (book.list().some(({ id }) => id === forgettable)) await book.forget([forgettable]);
say('forgotten', forgettable);
await book.settle([forgettable]);
say('gone', forgettable);
retentionMs = 10 * 365 * 86_400_000;
say('expiring', '-');
for (const { id } of await book.expire({ ...defaultPointRules, newestComplete: 0 }, () => 1)) say('gone', id);
await book.close();
