import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { AgentCopies } from '../../receiver/agent-copies.ts';
import { parseDeviceId } from '../../shared/identity/device-id.ts';
import { limits } from '../../shared/protocol/limits.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';
import { receiverCopies } from '../support/receiver-copies.ts';

const agentId = parseDeviceId('GU77MKD-5E7SBZF-CEQDU57-IAKI47O-VFV4WZM-EFFAQGA-SSHTHTJ-HMCYJQM');
const otherAgentId = parseDeviceId('P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2');

let scratch: string;
let data: string;
let copies: AgentCopies;

beforeEach(() => {
  scratch = memoryDirectory();
  data = path.join(scratch, 'data');
  fs.mkdirSync(data);
  copies = restarted();
});

afterEach(async () => {
  await copies.close();
});

function restarted(): AgentCopies {
  return receiverCopies(scratch);
}

it('begins no empty copy below the mount point of a disk that is not mounted', async () => {
  await copies.open(agentId, 'media');
  await copies.close();
  fs.renameSync(data, `${data}.unmounted`);
  fs.mkdirSync(data);
  copies = restarted();
  const failure = { code: 'DISK_FAILED', message: expect.stringContaining('is missing') as string };
  expect(await copies.openAll()).toMatchObject([{ agentId, folder: 'media', error: failure }]);
  await expect(copies.open(agentId, 'media')).rejects.toMatchObject(failure);
  expect(fs.readdirSync(data)).toEqual([]);

  fs.rmdirSync(data);
  fs.renameSync(`${data}.unmounted`, data);
  expect(copies.places.vanished()).toEqual([]);
  expect((await copies.open(agentId, 'media')).opened.rebuiltIndex).toBe(false);
});

it('knows the quota of an agent by its ID or the beginning of it, and gives all others the common one', () => {
  const config = { quotaBytes: 5, quotas: new Map([[agentId.slice(0, 7).toLowerCase(), 7]]) };
  copies = receiverCopies(scratch, Date.now, config);
  expect([copies.quotaBytesOf(agentId), copies.quotaBytesOf(otherAgentId)]).toEqual([7, 5]);
  copies = receiverCopies(scratch, Date.now, { ...config, quotas: new Map([[otherAgentId, null]]) });
  expect([copies.quotaBytesOf(agentId), copies.quotaBytesOf(otherAgentId)]).toEqual([5, null]);
});

it('begins nothing where the data directory is missing, though it knows of no copy', async () => {
  fs.rmdirSync(data);
  await expect(copies.open(agentId, 'media')).rejects.toMatchObject({ code: 'DISK_FAILED' });
  expect(fs.existsSync(data)).toBe(false);
});

it('begins no new copy either where all others are missing, whoever it is for', async () => {
  await copies.open(agentId, 'media');
  await copies.close();
  fs.renameSync(data, `${data}.unmounted`);
  copies = restarted();
  const gone = { code: 'DISK_FAILED' };
  await expect(copies.open(otherAgentId, 'media')).rejects.toMatchObject(gone);
  fs.mkdirSync(data);
  await expect(copies.open(otherAgentId, 'media')).rejects.toMatchObject(gone);
  await expect(copies.open(agentId, 'database', 'sealed')).rejects.toMatchObject(gone);
  expect(fs.readdirSync(data)).toEqual([]);
  expect(() => copies.get(agentId, 'media')).toThrowError(expect.objectContaining(gone));

  fs.rmdirSync(data);
  fs.renameSync(`${data}.unmounted`, data);
  await copies.open(otherAgentId, 'media');
});

it('begins empty copies in place of lost ones when a person asks for it', async () => {
  await copies.open(agentId, 'media');
  await copies.open(agentId, 'other');
  await copies.close();
  fs.rmSync(path.join(data, agentId), { recursive: true });
  const lost = ['media', 'other'].map((folder) => ({ agentId, folder }));
  expect(copies.places.vanished()).toEqual(lost);
  for (const { folder } of lost) expect((await copies.reindex(agentId, folder)).position()).toBeNull();
  expect(copies.places.vanished()).toEqual([]);
});

it('opens no more folders than one agent may have, over all of its links', async () => {
  for (let at = 0; at < limits.foldersMax; at += 1) await copies.open(agentId, `folder${at}`);
  await expect(copies.open(agentId, 'one-more')).rejects.toMatchObject({ code: 'QUOTA_REACHED' });
  expect(fs.readdirSync(path.join(data, agentId))).toHaveLength(limits.foldersMax);
});
