import { generateKeyPairSync } from 'node:crypto';
import { deviceIdOfKey } from '../../shared/identity/device-id.ts';
import { encodePointRecord, pointId, type PointRecord } from '../../shared/sealing/point-record.ts';
import { recordHash, signRecord } from '../../shared/sealing/signed-record.ts';

export type MadePoint = { id: string; hash: Buffer; record: Buffer; signature: Buffer };

/** An agent that signs restore points. */
export class PointSigner {
  readonly publicKey;
  readonly privateKey;
  readonly agent;
  readonly keyPem: string;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    this.publicKey = publicKey;
    this.privateKey = privateKey;
    this.keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    this.agent = deviceIdOfKey(publicKey.export({ type: 'spki', format: 'der' }));
  }

  point(number: number, changes: Partial<PointRecord> = {}): MadePoint {
    const value: PointRecord = {
      agent: this.agent,
      number,
      createdAt: new Date(Date.UTC(2026, 0, 1) + number * 3_600_000).toISOString(),
      previous: null,
      cause: 'hourly',
      pin: null,
      folders: [{ id: 'media', kind: 'mirror', index: '00000000000000aa', from: 1, to: number + 1 }],
      ...changes,
    };
    const record = encodePointRecord(value);
    return {
      id: pointId(value, record),
      hash: Buffer.from(recordHash(record), 'hex'),
      record,
      signature: signRecord(record, this.keyPem),
    };
  }
}
