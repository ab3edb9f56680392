import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { writeFreeze } from '../../receiver/guard/freeze-file.ts';
import { notFrozen, withHit } from '../../receiver/guard/freeze-state.ts';
import { expireHistory } from '../../receiver/history-expiry.ts';
import { PointBooks } from '../../receiver/point-books.ts';
import { startReceiver } from '../../receiver/receiver.ts';
import type { ReceiverStatus } from '../../receiver/receiver-commands.ts';
import { latestRemovalMs } from '../../receiver/retention/latest-removal.ts';
import type { PointRules } from '../../receiver/retention/point-retention.ts';
import type { VersionRetention } from '../../receiver/retention/version-retention.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { AlarmBoard } from '../../shared/alarm-board.ts';
import { callControl } from '../../shared/io/control-client.ts';
import { homeAt } from '../../shared/io/home.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import { PointSigner } from '../support/point-fixture.ts';
import { receiverCopies } from '../support/receiver-copies.ts';
import { sealedAgentId, strangeAgentId } from '../support/sealed-store-fixture.ts';
import { makeStoppedReceiver } from '../support/stopped-receiver.ts';
import { FeedFake, indexA, readTree } from '../support/store-fixture.ts';
import { memoryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const [hourMs, dayMs] = [3_600_000, 86_400_000];
const rules: PointRules = {
  hourlyDays: 0,
  dailyDays: 2,
  weeklyWeeks: 1,
  monthlyMonths: 0,
  newestComplete: 1,
  floorDays: 3,
};

it.each<VersionRetention>([
  { kind: 'points', floorDays: 3 },
  { kind: 'points', floorDays: 9 },
  { kind: 'simple', keep: 5, cleanoutDays: 10, floorDays: 3 },
  { kind: 'trashcan', cleanoutDays: 2, floorDays: 3 },
  { kind: 'staggered', maxAgeDays: 11, floorDays: 3 },
])(
  'a deleted file has left by then, and hardly earlier, though its last point comes a day late: %o',
  async (versions) => {
    // a Sunday: the late point is the first of a week
    let now = Date.parse('2027-01-17T12:00:00Z');
    const scratch = memoryDirectory();
    const dataDirectory = path.join(scratch, 'data');
    fs.mkdirSync(dataDirectory);
    const signer = new PointSigner();
    const copies = receiverCopies(scratch, () => now, { versions });
    copies.learnKey(signer.agent, signer.publicKey.export({ type: 'spki', format: 'der' }));
    const clocks = { retentionNow: () => now, now: () => now, steadyNow: () => now };
    const points = new PointBooks({ copies, dataDirectory, disk: nodeDisk, logger: silentLogger, ...clocks });
    const store = (await copies.open(signer.agent, 'media', 'mirror')) as MirrorStore;
    const feed = new FeedFake(() => store);
    let number = 0;
    const takePoint = async (from: number): Promise<void> => {
      const part = { id: 'media', kind: 'mirror' as const, index: indexA.toString('hex') };
      const made = signer.point((number += 1), { folders: [{ ...part, from, to: feed.sequence }] });
      expect(await points.take(signer.agent, made.record, made.signature)).toMatchObject({ held: true });
    };
    const isHeld = (): boolean =>
      [...readTree(path.join(dataDirectory, signer.agent, 'media/versions')).keys()].length > 0;
    await feed.send({ file: 'one', other: 'stays' });
    await feed.complete();
    await takePoint(feed.sequence);
    const before = feed.sequence;
    await feed.send({ file: null });
    const promised = latestRemovalMs(now, versions, { ...rules, floorDays: versions.floorDays }) ?? 0;
    now += dayMs;
    await takePoint(before);
    let heldUntil = 0;
    for (; now <= promised; now += hourMs) {
      if ((now / hourMs) % 24 === 12) await takePoint(feed.sequence);
      await expireHistory(
        {
          points,
          copies,
          isRead: () => false,
          guards: { check: async () => false, isFrozen: () => false },
          retentionNow: () => now,
          storeClock: () => {},
          clockGap: () => null,
          damagedClockFile: () => null,
          alarms: new AlarmBoard({ logger: silentLogger, now: () => now }),
          logger: silentLogger,
        },
        { rulesOf: () => ({ ...rules, floorDays: versions.floorDays }) },
        () => false,
      );
      if (isHeld()) heldUntil = now;
    }
    expect(isHeld()).toBe(false);
    expect(promised - heldUntil).toBeLessThan(dayMs + 4 * hourMs);
    await points.close();
    await copies.close();
  },
);

it.each([-40, 0, 40])(
  'status tells the date by the rule of each folder and the later clock (ages %i days ahead), and none of a frozen agent',
  async (aheadDays) => {
    const scratch = temporaryDirectory();
    await makeStoppedReceiver(scratch, [
      [sealedAgentId, 'media'],
      [sealedAgentId, 'docs'],
      [sealedAgentId, 'always'],
      [strangeAgentId, 'media'],
    ]);
    const [home, data] = [path.join(scratch, 'home'), path.join(scratch, 'data')];
    const folders = {
      docs: { versions: { kind: 'staggered', maxAge: '500d' } },
      always: { versions: { kind: 'simple', cleanout: 'never' } },
    };
    const config = { data, listen: [], agents: { [sealedAgentId]: { folders } } };
    fs.writeFileSync(path.join(home, 'receiver.yaml'), JSON.stringify(config));
    const begun = Date.now();
    fs.writeFileSync(
      path.join(data, 'retention-clock.json'),
      JSON.stringify({ nowMs: begun + aheadDays * dayMs }),
    );
    const what = { folder: 'media', code: 'MASS_CHANGE', since: '2026-11-21T10:00:00.000Z' } as const;
    const frozen = withHit(notFrozen, { ...what, from: 0, what: 'files are gone' });
    writeFreeze(path.join(data, strangeAgentId, '_freeze.json'), frozen);
    const at = homeAt(home, 'receiver.yaml');
    const receiver = await startReceiver(at, silentLogger, { number: 1, reload: () => {} });
    const { agents } = (await callControl(at, 'status', {})) as ReceiverStatus;
    await receiver.stop();
    const goneBy = (agentId: string, folder: string): number | null => {
      const found = agents.find(({ deviceId }) => deviceId === agentId);
      const told = found?.folders.find(({ id }) => id === folder)?.deletedGoneBy;
      return told == null ? null : (Date.parse(told) - begun) / dayMs;
    };
    const least = Math.max(0, aheadDays) + 26 / 24;
    expect(goneBy(sealedAgentId, 'media')).toBeGreaterThanOrEqual(365 + least);
    expect(goneBy(sealedAgentId, 'media')).toBeLessThan(365 + least + 1);
    expect(goneBy(sealedAgentId, 'docs')).toBeGreaterThanOrEqual(500 + least);
    expect(goneBy(sealedAgentId, 'docs')).toBeLessThan(500 + least + 1);
    expect(agents.find(({ deviceId }) => deviceId === strangeAgentId)?.frozen).toBe(true);
    expect([goneBy(sealedAgentId, 'always'), goneBy(strangeAgentId, 'media')]).toEqual([null, null]);
  },
);
