import { parentPort, workerData } from 'node:worker_threads';
import { collectEvery } from '../../shared/io/garbage-collection.ts';
import { openDatabase } from '../../shared/io/sqlite.ts';
import { lowerThreadPriority } from '../../shared/io/thread-priority.ts';
import { ChunkLookup } from './chunk-lookup.ts';
import type { CutEvent, CutRequest, CutWorkerData } from './cut-message.ts';
import { garbageCollector } from './garbage-collector.ts';
import { PackFiller } from './pack-filler.ts';
import { chunkingByName } from './seal-chunking.ts';

const collectEveryBytes = 16 * 1024 * 1024;

/** The entry of the thread that cuts, hashes and looks up. It only reads the database. */
function runCutter(port: NonNullable<typeof parentPort>, data: CutWorkerData): void {
  const post = (event: CutEvent, transfer: ArrayBuffer[] = []): void => port.postMessage(event, transfer);
  const chunking = chunkingByName(data.chunking);
  if (chunking === null) throw new Error(`no chunking ${data.chunking}`);
  const database = openDatabase(data.databaseFile, { readonly: true });
  const collect = collectEvery(collectEveryBytes, garbageCollector());
  const spare: ArrayBuffer[] = [];
  const lookup = new ChunkLookup(database, (pack) => filler.isUsable(pack));
  const filler: PackFiller = new PackFiller(
    {
      expectedLength: () => lookup.expectedLength(),
      findNext: (key) => lookup.findNext(key),
      find: (key) => lookup.find(key),
      onPack: (pack) => {
        post({ type: 'pack', ...pack }, [pack.content.buffer, pack.chunks.buffer]);
      },
      onExtents: (extents) => post({ type: 'extents', extents }, [extents.buffer]),
      takeRoom: () => spare.pop() ?? new ArrayBuffer(data.packBytesMax),
    },
    {
      secret: Buffer.from(data.secret),
      chunking,
      known: new Set(data.known),
      forgotten: new Set(data.forgotten),
      firstPack: data.firstPack,
      packBytesMax: data.packBytesMax,
    },
  );
  const serve = (request: CutRequest): void => {
    switch (request.type) {
      case 'bytes':
        filler.write(new Uint8Array(request.buffer, 0, request.length));
        post({ type: 'taken', buffer: request.buffer }, [request.buffer]);
        collect(request.length);
        return;
      case 'endFile': {
        const file = filler.endFile();
        post({ type: 'file', ...file });
        return;
      }
      case 'flush':
        filler.flush();
        post({ type: 'flushed', stats: filler.stats });
        return;
      case 'committed':
        if (request.findable) filler.committed(request.pack);
        spare.push(request.buffer);
        return;
    }
  };
  port.on('message', (request: CutRequest) => {
    try {
      serve(request);
    } catch (error) {
      post({ type: 'failed', message: String(error) });
    }
  });
}

if (parentPort !== null) {
  lowerThreadPriority(10);
  runCutter(parentPort, workerData as CutWorkerData);
}
