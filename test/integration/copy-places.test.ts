import fs from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { CopyPlaces } from '../../receiver/copy-places.ts';
import { parseDeviceId } from '../../shared/identity/device-id.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import { memoryDirectory } from '../support/temporary-directory.ts';

const agentId = parseDeviceId('GU77MKD-5E7SBZF-CEQDU57-IAKI47O-VFV4WZM-EFFAQGA-SSHTHTJ-HMCYJQM');
const otherAgentId = parseDeviceId('P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2');

let data: string;
let databases: string;
let places: CopyPlaces;

beforeEach(() => {
  const scratch = memoryDirectory();
  data = path.join(scratch, 'data');
  databases = path.join(scratch, 'db');
  fs.mkdirSync(data);
  places = new CopyPlaces({ data, databases });
});

function makeDirectory(folder: string, below = ''): void {
  fs.mkdirSync(path.join(places.directory(agentId, folder), below), { recursive: true });
}

function makeDatabase(folder: string, sql = ''): void {
  const file = places.databasePath(agentId, folder);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const database = openDatabase(file);
  database.exec(sql);
  database.close();
}

it('knows a copy by its directory, its database or both, and by nothing else that lies there', () => {
  expect(places.all()).toEqual([]);
  makeDirectory('media');
  makeDirectory('both');
  for (const folder of ['both', 'lost']) makeDatabase(folder);
  makeDirectory('points');
  makeDirectory('Media');
  fs.writeFileSync(path.join(data, agentId, 'agent.pem'), '');
  fs.writeFileSync(path.join(databases, agentId, 'agent.pem'), '');
  fs.mkdirSync(path.join(data, 'lost+found', 'media'), { recursive: true });
  const folders = ['both', 'lost', 'media'];
  expect(places.all().toSorted((a, b) => (a.folder < b.folder ? -1 : 1))).toEqual(
    folders.map((folder) => ({ agentId, folder })),
  );
  for (const folder of folders) expect(places.isHeld(agentId, folder), folder).toBe(true);
  expect(places.isHeld(agentId, 'points')).toBe(false);
  expect(places.isHeld(otherAgentId, 'media')).toBe(false);
});

it('calls a copy vanished that has a database and no directory', () => {
  for (const folder of ['media', 'lost']) makeDatabase(folder);
  makeDirectory('media');
  expect(places.vanished()).toEqual([{ agentId, folder: 'lost' }]);
  expect(places.missing(agentId, 'lost')).toMatchObject({
    code: 'DISK_FAILED',
    message: `${path.join(data, agentId, 'lost')} is missing, and it held a copy of folder lost`,
  });
});

it('takes the disk for gone where nothing is left of it, and not where one copy of several is', () => {
  expect(places.isDiskGone()).toBe(false);
  for (const folder of ['media', 'other']) makeDatabase(folder);
  expect(places.isDiskGone()).toBe(true);
  makeDirectory('media');
  expect(places.isDiskGone()).toBe(false);
  fs.rmSync(data, { recursive: true });
  expect(places.isDiskGone()).toBe(true);
  fs.rmSync(databases, { recursive: true });
  expect(places.isDiskGone()).toBe(true);
  expect(() => places.all()).toThrow(expect.objectContaining({ code: 'DISK_FAILED' }));
});

it('tells a sealed folder by its packs, and by its database where the directory is gone', () => {
  const sealed = 'CREATE TABLE sealed_versions (number INTEGER)';
  makeDatabase('database', sealed);
  makeDatabase('media');
  const kinds = (): string[] => ['database', 'media'].map((folder) => places.kindOf(agentId, folder));
  expect(kinds()).toEqual(['sealed', 'mirror']);
  makeDirectory('database', 'packs');
  makeDirectory('media', 'current');
  expect(kinds()).toEqual(['sealed', 'mirror']);
  fs.rmSync(databases, { recursive: true });
  expect(kinds()).toEqual(['sealed', 'mirror']);
});

it('holds something of a device that has folders or points, not only a key', () => {
  fs.mkdirSync(path.join(data, agentId));
  fs.writeFileSync(path.join(data, agentId, 'agent.pem'), '');
  expect(places.holdsOf(agentId)).toBe(false);
  fs.mkdirSync(path.join(data, agentId, 'points'));
  expect(places.holdsOf(agentId)).toBe(true);
  fs.rmdirSync(path.join(data, agentId, 'points'));
  makeDatabase('media');
  expect(places.holdsOf(agentId)).toBe(true);
  expect(places.holdsOf(otherAgentId)).toBe(false);
});
