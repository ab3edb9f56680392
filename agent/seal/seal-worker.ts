import { parentPort, workerData } from 'node:worker_threads';
import { longestChunks } from '../../shared/chunking/chunk-list.ts';
import { fileChunking } from '../../shared/chunking/chunking-parameters.ts';
import { systemErrorCode } from '../../shared/errors/coded-error.ts';
import { crashPoint } from '../../shared/io/crash-point.ts';
import { lowerThreadPriority } from '../../shared/io/thread-priority.ts';
import { encryptMessage } from '../../shared/sealing/encrypt-message.ts';
import { packName } from '../../shared/sealing/object-name.ts';
import { packContent } from '../../shared/sealing/pack.ts';
import { releaseMemory } from '../../shared/sealing/released-memory.ts';
import { nameSealed } from '../../shared/sealing/sealed-pack.ts';
import { chunkedAboveBytes, encodeChunkList } from '../index/chunk-list-blob.ts';
import { garbageCollector } from './garbage-collector.ts';
import { packEffort } from './pack-effort.ts';
import type { SealEvent, SealRequest, SealWorkerData } from './seal-message.ts';
import { Spool } from './spool.ts';

/**
 * The entry of the thread that compresses, pads, seals and writes into the spool, one object after the other. While the disk
 * makes one durable, the next one is sealed; they are reported in their order.
 */
function runSealer(port: NonNullable<typeof parentPort>, data: SealWorkerData): void {
  const post = (event: SealEvent, transfer: ArrayBuffer[] = []): void => port.postMessage(event, transfer);
  const fail = (error: unknown): void =>
    post({ type: 'failed', code: systemErrorCode(error) ?? '', message: String(error) });
  const spool = new Spool(data.spoolDirectory);
  // one message at a time, so each is written over the one before
  let message = Buffer.alloc(0);
  const room = (bytes: number): Buffer => {
    if (message.length < bytes) message = Buffer.allocUnsafeSlow(bytes);
    return message.subarray(0, bytes);
  };
  let takenBytes = 0;
  let reported = Promise.resolve();
  const report = async (
    kind: SealRequest['kind'],
    event: SealEvent & { type: 'sealed' },
    durable: Promise<unknown>,
  ): Promise<void> => {
    await durable;
    crashPoint(kind === 'pack' ? 'seal.pack-written' : 'seal.root-written');
    post(event, [event.buffer]);
  };
  const seal = ({ kind, id, content, key }: SealRequest): void => {
    const effort = packEffort(takenBytes, data.nothingKnown);
    takenBytes += content.length;
    const pieces = kind === 'pack' ? packContent(content, effort) : [content];
    const { hash, bytes } = nameSealed(encryptMessage(key.packets, key.sessionKey, pieces, room));
    if (kind === 'pack') pieces.forEach(releaseMemory);
    const { buffer } = content;
    const chunkList = chunkListOf(bytes);
    const event = { type: 'sealed', id, hash, bytes: bytes.length, chunkList, buffer } as const;
    const durable = spool.writeLater(packName(hash), bytes);
    reported = report(kind, event, Promise.all([durable, reported])).catch(fail);
  };
  const collect = garbageCollector();
  port.on('message', (request: SealRequest) => {
    try {
      seal(request);
    } catch (error) {
      fail(error);
    }
    collect();
  });
}

/** Large objects travel by chunk lists, like large files, so that an interrupted transfer goes on. */
function chunkListOf(bytes: Buffer): Buffer | null {
  if (bytes.length <= chunkedAboveBytes) return null;
  return encodeChunkList(longestChunks(bytes, fileChunking));
}

if (parentPort !== null) {
  lowerThreadPriority(10);
  runSealer(parentPort, workerData as SealWorkerData);
}
