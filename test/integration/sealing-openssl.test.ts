import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { deviceIdOfKey } from '../../shared/identity/device-id.ts';
import { signRecord } from '../../shared/sealing/signed-record.ts';
import { encodeVersionRecord } from '../../shared/sealing/version-record.ts';

it('signs version records so that openssl verifies them', () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mk-openssl-'));
  try {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const record = encodeVersionRecord({
      agent: deviceIdOfKey(publicKey.export({ type: 'spki', format: 'der' })),
      folder: 'database',
      epoch: '00000000000000ab',
      number: 1,
      createdAt: '2026-11-21T08:40:00.000Z',
      previous: null,
      root: 'ab'.repeat(32),
      packs: [['ab'.repeat(32), 500]],
      recipients: [],
    });
    fs.writeFileSync(path.join(directory, 'agent.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
    fs.writeFileSync(path.join(directory, 'X.json.sig'), signRecord(record, privateKey));
    const verify = (content: Uint8Array): { status: number | null; stdout: string } => {
      fs.writeFileSync(path.join(directory, 'X.json'), content);
      const args = ['dgst', '-sha256', '-verify', 'agent.pem', '-signature', 'X.json.sig', 'X.json'];
      return spawnSync('openssl', args, { cwd: directory, encoding: 'utf8' });
    };
    expect(verify(record)).toMatchObject({ status: 0, stdout: 'Verified OK\n' });
    expect(verify(Buffer.concat([record, Buffer.from('\n')])).status).toBe(1);
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
});
