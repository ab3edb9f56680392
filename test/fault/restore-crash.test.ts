import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import { fileChunking } from '../../shared/chunking/chunking-parameters.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import type { CrashPoint } from '../../shared/io/crash-point.ts';
import { parseAddress } from '../../shared/link/address.ts';
import { LinkProxy } from '../support/link-proxy.ts';
import { makeOddFiles } from '../support/odd-files.ts';
import { runCommand } from '../support/program.ts';
import {
  inviteToRestore,
  startRestoreReceiver,
  storeTree,
  type RestoreReceiver,
} from '../support/restore-receiver.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { storeFixture } from '../support/store-fixture.ts';
import { compareTrees, formatDifferences, listFiles } from '../support/tree-compare.ts';

const mib = 1024 * 1024;
const temporaryName = /(^|\/)\.mastokeep-restore\.[^/]*$/;
/** What a run costs beside content: greetings, the listing, chunk lists, and the blocks that the edges of parts share. */
const overheadBytes = mib / 4 + 3 * fileChunking.bytesAverage;

let bench: string;
let source: string;
let target: string;
let store: MirrorStore;
let receiver: RestoreReceiver;
let proxy: LinkProxy;
let agentId: DeviceId;
let from: string;

beforeAll(async () => {
  bench = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-restore-crash-'));
  source = path.join(bench, 'source');
  target = path.join(bench, 'to/media');
  makeOddFiles(source);
  for (let at = 0; at < 400; at += 1) {
    const directory = path.join(source, `media/${at % 31}/original`);
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(path.join(directory, `${at}.png`), seededBytes(`${at}`, 5000 + at));
  }
  for (const name of ['one', 'two']) {
    fs.writeFileSync(path.join(source, `${name}.mp4`), seededBytes(name, 8 * mib));
  }
  fs.chmodSync(path.join(source, 'media/3/original'), 0o550);
  store = await storeFixture(path.join(bench, 'store')).open();
  agentId = (await createDeviceIdentity(bench)).deviceId;
  await storeTree(store, source);
  const stores = new Map([[agentId, new Map([['media', store]])]]);
  receiver = await startRestoreReceiver(bench, stores, { listen: true });
  proxy = await LinkProxy.start(parseAddress(receiver.addresses[0] ?? ''));
  from = inviteToRestore(receiver, agentId, `127.0.0.1:${proxy.endpoint.port}`);
});
afterAll(async () => {
  await proxy.stop();
  await receiver.links.stop();
  await store.close();
  fs.rmSync(bench, { recursive: true, force: true });
});

/** What a run has still to fetch: all but files that have their names and blocks of temporary content. */
function bytesLacking(): number {
  const there = new Map(
    fs.existsSync(target) ? listFiles(target).map(({ path: name, bytes }) => [name, bytes]) : [],
  );
  let lacking = listFiles(source).reduce(
    (sum, { path: name, bytes }) => sum + (there.has(name) ? 0 : bytes),
    0,
  );
  for (const [name, bytes] of there) {
    if (!temporaryName.test(name) || bytes < mib) continue;
    lacking -= Math.min(bytes, fs.statSync(path.join(target, name)).blocks * 512);
  }
  return lacking;
}

/** Restores, killed at that point or to the end; gives the exit code. No more is fetched than what is missing. */
async function run(point: CrashPoint | null, count: number): Promise<number> {
  const lacking = bytesLacking();
  const before = proxy.bytes.down;
  const env: Record<string, string> = point === null ? {} : { MASTOKEEP_CRASH_AT: `${point}:${count}` };
  const args = ['--home', path.join(bench, 'home'), 'restore', '--from', from, '--to', path.dirname(target)];
  const { code, stderr } = await runCommand('agent', args, { env });
  expect(proxy.bytes.down - before, stderr).toBeLessThan(lacking + overheadBytes);
  return code;
}

/** What has its final name has the right bytes, mode, owner and time; directories get theirs last. */
function wrongNames(): string {
  const { differences } = compareTrees(source, target, { owners: process.getuid?.() === 0 });
  const wrong = differences.filter(({ path: name, problem }) => {
    const isDirectory = fs
      .statSync(path.join(source, Buffer.from(name, 'latin1').toString()), { throwIfNoEntry: false })
      ?.isDirectory();
    return !problem.startsWith('missing') && !temporaryName.test(name) && isDirectory !== true;
  });
  return formatDifferences(wrong);
}

/** Restores, killed at each of these points, and at last to the end. */
async function restoreThrough(points: readonly [CrashPoint, number][]): Promise<void> {
  for (const [point, count] of points) {
    expect(await run(point, count), `${point}:${count}`).toBe(137);
    expect(wrongNames(), `${point}:${count}`).toBe('');
  }
  expect(await run(null, 0)).toBe(0);
  const { differences } = compareTrees(source, target, { owners: process.getuid?.() === 0 });
  expect(formatDifferences(differences)).toBe('');
}

it('a restore killed at any point leaves only whole files under their names, and goes on with what is missing', async () => {
  const points: [CrashPoint, number][] = [
    ['restore.written', 3],
    ['restore.stamped', 1],
    ['restore.named', 1],
    ['restore.written', 300],
    ['restore.named', 200],
    ['restore.directory-finished', 1],
  ];
  await restoreThrough(points);
});

it('goes on with the parts of large files that a killed restore has written', async () => {
  target = path.join(bench, 'once-more/media');
  await restoreThrough([['restore.part-written', 40]]);
});
