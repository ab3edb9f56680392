import fs from 'node:fs';
import type { PointPart } from '../../receiver/points/folder-evidence.ts';
import { keptHistory } from './kept-history.ts';
import { storeFixture } from './store-fixture.ts';

/**
 * Lets go of what none of these parts of points needs, until it is killed: `DIRECTORY NOW PARTS` (ms, JSON). Says when it
 * begins and when it is done.
 */
const [directory = '', now = '', parts = ''] = process.argv.slice(2);
const retention = { kind: 'points', floorDays: 1 } as const;
const store = await storeFixture(directory, { now: () => Number(now) }, { retention }).open();
fs.writeSync(1, 'expiring\n');
await store.expire(Number(now), keptHistory(JSON.parse(parts) as PointPart[]));
fs.writeSync(1, 'done\n');
await store.close();
