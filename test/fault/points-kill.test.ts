import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { PointBook } from '../../receiver/points/point-book.ts';
import { crashPoints } from '../../shared/io/crash-point.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { PointSigner } from '../support/point-fixture.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

/**
 * The invariant: however often the process is killed, at whatever point, every restore point and pin that was
 * acknowledged is held, every one that was told to be gone is gone, and no file is left of it.
 */
const named = crashPoints.filter((point) => point.startsWith('points.'));
const child = new URL('../support/point-crash-child.ts', import.meta.url).pathname;

it.each(named)('holds what it acknowledged when it is killed at %s', async (crashPoint) => {
  const scratch = memoryDirectory();
  const signer = new PointSigner();
  const directory = path.join(scratch, signer.agent, 'points');
  const input = path.join(scratch, 'points.json');
  const points = [1, 2, 3, 4, 5].map((number) => signer.point(number));
  const publicKey = signer.publicKey.export({ type: 'spki', format: 'pem' });
  const shown = points.map(({ id, record, signature }) => {
    return { id, record: record.toString('base64'), signature: signature.toString('base64') };
  });
  fs.writeFileSync(input, JSON.stringify({ publicKey, points: shown }));
  const [held, pinned, gone] = [new Set<string>(), new Set<string>(), new Set<string>()];
  let [kills, expiring] = [0, false];
  for (let count = 1; count <= 4; count += 1) {
    const run = spawnSync(process.execPath, [child, directory, signer.agent, input], {
      env: { ...process.env, MASTOKEEP_CRASH_AT: `${crashPoint}:${count}` },
      encoding: 'utf8',
    });
    expect(run.stderr).toBe('');
    if (run.signal === 'SIGKILL') kills += 1;
    for (const [word, id = ''] of run.stdout.split('\n').map((line) => line.split(' '))) {
      if (word === 'held') {
        held.add(id);
        gone.delete(id);
      }
      if (word === 'pinned') pinned.add(id);
      if (word === 'forgetting') held.delete(id);
      if (word === 'gone' || word === 'forgotten') gone.add(id);
      if (word === 'expiring') expiring = true;
    }
    const book = await PointBook.open(
      {
        disk: nodeDisk,
        agentKey: () => signer.publicKey,
        retentionNow: () => 0,
        now: () => 0,
        steadyNow: () => 0,
        isForgotten: () => false,
        logger: silentLogger,
      },
      { directory, agent: signer.agent },
    );
    const now = new Map(book.list().map(({ id, pin }) => [id, pin?.label ?? null]));
    expect(book.damaged).toEqual([]);
    for (const id of pinned) expect(now.get(id)).toBe('kept');
    // what is not pinned may have gone once an expiry was under way
    if (!expiring) for (const id of held) expect(now.has(id)).toBe(true);
    for (const id of gone) expect(now.has(id)).toBe(false);
    const waiting = book.forgotten().map(({ id }) => id);
    for (const { record } of book.forgotten()) expect(record).not.toBeNull();
    await book.close();
    const files = fs.readdirSync(directory).filter((name) => name.endsWith('.json'));
    expect(files.toSorted()).toEqual([...now.keys(), ...waiting].map((id) => `${id}.json`).toSorted());
    expect(fs.readdirSync(directory).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  }
  expect(kills).toBeGreaterThan(0);
  fs.rmSync(scratch, { recursive: true });
});
