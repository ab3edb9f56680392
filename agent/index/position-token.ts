import { createHash, hash } from 'node:crypto';
import type { FileRecord } from '../../shared/records/file-record.ts';
import { encodeRecord } from './index-row.ts';

/** The token of sequence 0, before anything was committed in this index. */
export function firstToken(indexId: Buffer): Buffer {
  return hash('sha256', Buffer.concat([Buffer.from('mastokeep index v1\0'), indexId]), 'buffer');
}

/**
 * The token at the end of a batch: SHA-256 over the token before, the last sequence and every record. Equal tokens
 * mean equal histories, so a database that was rolled back and went on differently is noticed at the next position.
 */
export function nextToken(previous: Buffer, through: number, records: readonly FileRecord[]): Buffer {
  const end = Buffer.alloc(8);
  end.writeBigUInt64BE(BigInt(through));
  const chain = createHash('sha256').update(previous).update(end);
  for (const record of records) chain.update(encodeRecord(record));
  return chain.digest();
}
