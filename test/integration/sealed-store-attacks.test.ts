import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentQuota } from '../../receiver/store/agent-quota.ts';
import type { SealedStore } from '../../receiver/store/sealed-store.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { Disk } from '../../shared/io/disk.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';
import { signRecord } from '../../shared/sealing/signed-record.ts';
import type { VersionRecord } from '../../shared/sealing/version-record.ts';
import {
  agentPrivateKey,
  epochB,
  packObject,
  SealedFeedFake,
  sealedStoreFixture,
  strangeAgentId,
  strangeKey,
  versionObjects,
  type SealedObject,
} from '../support/sealed-store-fixture.ts';
import { fileState, indexB, readTree, sha256 } from '../support/store-fixture.ts';
import { lose, namesOf, storedNames, type Loss } from '../support/sealed-store-files.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

/** What an agent in an attacker's hands may try with a sealed folder: it can add, and take nothing away. */
const [root, a, b, c] = [packObject('root'), packObject('a'), packObject('b'), packObject('c')];
const first = versionObjects(1, [root, a]);
const second = versionObjects(2, [b, a], { previous: first.hash });
const third = versionObjects(3, [b, a], { previous: first.hash });

let directory: string;
let fixture: ReturnType<typeof sealedStoreFixture>;
let store: SealedStore;
let feed: SealedFeedFake;
let quota: AgentQuota;

beforeEach(async () => {
  directory = memoryDirectory();
  quota = new AgentQuota({ bytesMax: null, sealedReserve: 0 });
  fixture = sealedStoreFixture(directory, { quota });
  store = await fixture.open();
  feed = new SealedFeedFake(() => store);
});

afterEach(async () => {
  await store.close();
  fs.rmSync(directory, { recursive: true });
});

async function reopen(losing: Loss = 'nothing'): Promise<void> {
  await store.close();
  lose(losing, fixture);
  store = await fixture.open();
}

const stored = (): string[] => storedNames(fixture.root);

function versions(): [number: number, complete: boolean][] {
  return store.listVersions().map(({ number, complete }) => [number, complete]);
}

/** The record of the second version, changed; whoever signs it knows the agent's key. */
function altered(change: (record: VersionRecord) => unknown): Buffer {
  const record = JSON.parse(second.json.content.toString()) as VersionRecord;
  change(record);
  return Buffer.from(JSON.stringify(record));
}

/** Those bytes in place of a record, rightly signed. */
function resigned(content: Buffer, version = second): { json: SealedObject; signature: SealedObject } {
  return {
    json: { ...version.json, content },
    signature: { ...version.signature, content: signRecord(content, agentPrivateKey) },
  };
}

const sendFirst = (): Promise<void> => feed.send([root, a, first.json, first.signature]);
const sendSecond = (): Promise<void> => feed.send([b, second.json, second.signature]);

describe('a version record that is not what it claims', () => {
  const other = versionObjects(1, [c], { createdAt: '2026-11-21T09:00:00.000Z' });
  const wrong = {
    'signed by a stranger': versionObjects(2, [b, a], { previous: first.hash, key: strangeKey }),
    'of another folder': versionObjects(2, [b, a], { previous: first.hash, folder: 'secrets' }),
    'under the name of another version': {
      ...second,
      json: { ...second.json, content: first.json.content },
      signature: { ...second.signature, content: first.signature.content },
    },
    'that does not follow the one before': versionObjects(2, [b, a], { previous: other.hash }),
    'in place of one that is held': other,
    'of another agent, signed by this one': versionObjects(2, [b, a], {
      previous: first.hash,
      agent: strangeAgentId,
    }),
    'of another agent, signed by it': versionObjects(2, [b, a], {
      previous: first.hash,
      agent: strangeAgentId,
      key: strangeKey,
    }),
    'of a later number under the name of this one': {
      json: { ...second.json, content: third.json.content },
      signature: { ...second.signature, content: third.signature.content },
    },
    'of a later epoch under the name of this one': {
      json: {
        ...second.json,
        content: versionObjects(2, [b, a], { previous: first.hash, epoch: epochB }).json.content,
      },
      signature: {
        ...second.signature,
        content: versionObjects(2, [b, a], { previous: first.hash, epoch: epochB }).signature.content,
      },
    },
    'with a signature over another spelling of the same record': resigned(
      Buffer.from(JSON.stringify(JSON.parse(second.json.content.toString()), null, 1)),
    ),
    'that names a pack twice': resigned(altered((record) => record.packs.push(record.packs[0] ?? ['', 1]))),
    'whose root is none of its packs': resigned(altered((record) => (record.root = 'f'.repeat(64)))),
    'with a field too many': resigned(altered((record) => Object.assign(record, { expire: 'all' }))),
    'of eight million open brackets': resigned(Buffer.alloc(8_000_000, '[')),
    'that names more packs than a version may have': resigned(
      altered((record) => {
        for (let at = 0; at < sealedLimits.packsPerVersionMax; at += 1)
          record.packs.push([at.toString(16).padStart(64, '0'), 1]);
      }),
    ),
    'of garbage': {
      json: { ...second.json, content: Buffer.from('{}') },
      signature: second.signature,
    },
  };

  it.each(Object.entries(wrong))(
    'is refused and changes nothing else: %s',
    async (_, { json, signature }) => {
      await sendFirst();
      await feed.send([b, c, json, signature]);
      expect(fixture.refused).toHaveLength(1);
      expect(fixture.refused[0]?.error.code).toMatch(/^(RECORD_FORGED|RECORD_INVALID|PROTOCOL_VIOLATION)$/);
      expect(versions()).toEqual([[1, true]]);
      expect(stored()).toEqual(namesOf([root, a, b, c, first.json, first.signature]));
      expect(store.position()?.sequence).toBe(feed.sequence);
      await sendSecond();
      expect(versions()).toEqual([
        [1, true],
        [2, true],
      ]);
      await reopen('database');
      expect(versions()).toHaveLength(2);
    },
  );

  it('is counted with what its packs take, whatever it claims of them', async () => {
    await sendFirst();
    const claims = resigned(
      altered((record) => {
        for (const pack of record.packs) pack[1] = sealedLimits.packBytesMax;
      }),
    );
    await feed.send([b, claims.json, claims.signature]);
    const bytes = (): number[] => store.listVersions().map((version) => version.bytes);
    const real = [root.content.length + a.content.length, b.content.length + a.content.length];
    expect(bytes()).toEqual(real);
    await reopen('database');
    expect(bytes()).toEqual(real);
  });

  it('is refused though its right half is held', async () => {
    await sendFirst();
    await feed.send([b, second.json]);
    const forged = versionObjects(2, [b, a], { previous: first.hash, key: strangeKey });
    await feed.send([forged.signature]);
    expect(fixture.refused).toHaveLength(1);
    expect(versions()).toEqual([[1, true]]);
    await feed.send([second.signature]);
    expect(versions()).toHaveLength(2);
  });

  it('is refused when it fills a gap with another version than the one that was there', async () => {
    await sendFirst();
    const third = versionObjects(3, [c], { previous: second.hash });
    await feed.send([c, third.json, third.signature]);
    const false2 = versionObjects(2, [c], { previous: first.hash });
    await feed.send([false2.json, false2.signature]);
    expect(fixture.refused).toHaveLength(1);
    await sendSecond();
    expect(versions()).toEqual([
      [1, true],
      [3, true],
      [2, true],
    ]);
    expect(fixture.refused).toHaveLength(1);
  });

  it('may come again as it is, in the same index and in a new one, and changes nothing', async () => {
    await sendFirst();
    await feed.send([first.json, first.signature]);
    feed.indexId = indexB;
    feed.sequence = 0;
    await sendFirst();
    expect(fixture.refused).toEqual([]);
    expect(versions()).toEqual([[1, true]]);
  });

  it('is not refused because the disk fails: the batch is', async () => {
    await store.close();
    let fails = false;
    const disk: Disk = {
      ...nodeDisk,
      read: (...args) => {
        if (fails) throw new CodedError('DISK_FAILED', 'the disk refused read (EIO)');
        return nodeDisk.read(...args);
      },
    };
    const failing = sealedStoreFixture(directory, { disk });
    store = await failing.open();
    fails = true;
    await expect(sendFirst()).rejects.toMatchObject({ code: 'DISK_FAILED' });
    fails = false;
    expect(failing.refused).toEqual([]);
    feed.sequence = 0;
    await sendFirst();
    expect(versions()).toEqual([[1, true]]);
  });

  it('is refused with another signature once it is held, though that one is right too', async () => {
    await sendFirst();
    await feed.send([resigned(first.json.content, first).signature]);
    expect(fixture.refused).toHaveLength(1);
    const { path: name, content } = first.signature;
    expect(readTree(fixture.root).get(name)).toEqual(content);
  });

  it('is refused when it goes back behind a newer one', async () => {
    const third = versionObjects(3, [c], { previous: second.hash });
    await feed.send([c, third.json, third.signature]);
    expect(versions()).toEqual([[3, true]]);
    await sendFirst();
    expect(fixture.refused).toHaveLength(1);
    await sendSecond();
    expect(versions()).toEqual([
      [3, true],
      [2, true],
    ]);
  });
});

describe('packs', () => {
  it('that were cut off on the way are not taken', async () => {
    const cut = a.content.subarray(0, -1);
    expect(() => store.stage(sha256(a.content), cut)).toThrowError(
      expect.objectContaining({ code: 'CONTENT_MISMATCH' }),
    );
    const partial = store.openPartial(sha256(a.content), a.content.length);
    partial.write(0, cut);
    await expect(partial.finish()).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
    const record = { path: a.path, sequence: 1, replaces: null, state: fileState(a.content) };
    const batch = { ...feed.position(), records: [record], missing: [], isHead: true, through: 1 };
    await expect(store.commit(batch)).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
    expect(stored()).toEqual([]);
  });

  it('that were announced with another size than they have are not taken', async () => {
    store.stage(sha256(a.content), a.content);
    const state = { ...fileState(a.content), size: a.content.length - 1 };
    const record = { path: a.path, sequence: 1, replaces: null, state };
    const batch = { ...feed.position(), records: [record], missing: [], isHead: true, through: 1 };
    await expect(store.commit(batch)).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' });
    expect(stored()).toEqual([]);
  });

  it('that were renamed on the disk count as missing under their own name, and as nothing under the other', async () => {
    await sendFirst();
    fs.renameSync(path.join(fixture.root, a.path), path.join(fixture.root, c.path));
    await reopen();
    expect(versions()).toEqual([[1, false]]);
    expect(store.missingPacks()).toEqual([sha256(a.content)]);
    const record = { path: c.path, sequence: 9, replaces: null, state: fileState(c.content) };
    expect(store.need(record)).toBe('fetch');
    await feed.send([a, c]);
    expect(versions()).toEqual([[1, true]]);
    expect(readTree(fixture.root).get(c.path)).toEqual(c.content);
  });

  it('that a version names and that were never sent are told as missing, and never make it complete', async () => {
    const greedy = versionObjects(1, [root, a, packObject('never')]);
    await feed.send([root, a, greedy.json, greedy.signature], { gone: [packObject('never')] });
    expect(versions()).toEqual([[1, false]]);
    await feed.send([b, c]);
    expect(versions()).toEqual([[1, false]]);
    await reopen('database');
    expect(versions()).toEqual([[1, false]]);
    expect(store.missingPacks()).toEqual([sha256(packObject('never').content)]);
  });
});

it('refuses batches that go back, and the end of an index that was not reached', async () => {
  await sendFirst();
  const violation = { code: 'PROTOCOL_VIOLATION' };
  feed.sequence -= 1;
  await expect(
    store.commit({ ...feed.position(), records: [], missing: [], isHead: true, through: 1 }),
  ).rejects.toMatchObject(violation);
  feed.sequence += 10;
  await expect(store.completeIndex(feed.position())).rejects.toMatchObject(violation);
  await expect(store.completeIndex({ ...feed.position(), indexId: indexB })).rejects.toMatchObject(violation);
  expect(versions()).toEqual([[1, true]]);
});

it('refuses records too when the journal would eat up the free-space floor', async () => {
  await store.close();
  const space = { totalBytes: 1000, freeBytes: 1000 };
  const disk: Disk = { ...nodeDisk, space: () => ({ ...space }) };
  const full = sealedStoreFixture(directory, { disk }, { freeSpaceFloor: 0.05 });
  store = await full.open();
  space.freeBytes = 20;
  await store.close();
  store = await full.open();
  feed.sequence += 1;
  const batch = { ...feed.position(), records: [], missing: [], isHead: true, through: feed.sequence };
  await expect(store.commit(batch)).rejects.toMatchObject({ code: 'STORE_FULL' });
});

it('takes no record that is larger than records may be, without fetching it', () => {
  const state = { ...fileState('x'), size: sealedLimits.versionRecordBytesMax + 1 };
  const record = { path: first.json.path, sequence: 1, replaces: null, state };
  expect(() => store.need(record)).toThrowError(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
  const signature = {
    path: first.signature.path,
    sequence: 1,
    replaces: null,
    state: fileState('x'.repeat(257)),
  };
  expect(() => store.need(signature)).toThrowError(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
});

it('keeps nothing of a waiting half that another one takes the place of, so that the quota counts all there is', async () => {
  const bytesOnDisk = (): number =>
    [...readTree(fixture.root)]
      .filter(([name]) => /^(packs|versions|damaged|incoming)\//.test(name))
      .reduce((sum, [, bytes]) => sum + bytes.length, 0);
  for (let round = 0; round < 5; round += 1) {
    await feed.send([{ ...first.json, content: Buffer.alloc(20_000, `${round}`) }]);
  }
  expect(stored()).toEqual([first.json.path]);
  expect(bytesOnDisk()).toBe(20_000);
  expect(quota.usedBytes()).toBe(20_000 + 512);
  await sendFirst();
  expect(versions()).toEqual([[1, true]]);
  await reopen('database');
  expect(versions()).toEqual([[1, true]]);
  expect(fixture.refused).toEqual([]);
});

it('is not filled by packs that are announced without end and never sent', async () => {
  const hash = (at: number): string => at.toString(16).padStart(64, '0');
  const announced = 160_000;
  for (let from = 0; from < announced; from += 40_000) {
    const missing = Array.from({ length: 40_000 }, (_, at) => ({
      path: `packs/${hash(from + at)}.pgp` as RelativePath,
      sequence: feed.sequence + at + 1,
      replaces: null,
      state: fileState('never sent'),
    }));
    feed.sequence += 40_000;
    const batch = { records: [], missing, through: feed.sequence, isHead: true };
    await store.commit({ ...feed.position(), ...batch });
  }
  expect(store.missingPacks().length).toBeLessThan(announced);
  expect(store.missingPacks().at(-1)?.toString('hex')).toBe(hash(announced - 1));
});
