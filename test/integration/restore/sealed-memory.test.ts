import path from 'node:path';
import { expect, it } from 'vitest';
import { measureProcess } from '../../bench/measured-process.ts';
import { fileHash } from '../../bench/file-hash.ts';
import { sha256 } from '../../support/store-fixture.ts';
import { inviteToRestore, startRestoreReceiver } from '../../support/restore-receiver.ts';
import { heldFolder } from '../../support/sealed-receiver.ts';
import { createSealedKeys, SealedRestoreBench } from '../../support/sealed-restore-bench.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const mib = 1024 * 1024;
const packBytes = 4 * mib;
const packs = 150;

/** As much as a dump compresses: a quarter of each pack is random, and no two packs are alike. */
function dump(): Buffer {
  const random = seededBytes('a large dump', 2 * mib);
  const content = Buffer.alloc(packs * packBytes, 'INSERT INTO statuses VALUES (1);\n');
  for (let pack = 0; pack < packs; pack++) {
    const from = (pack * mib) / packs;
    random.copy(content, pack * packBytes, from, from + mib);
    content.writeUInt32LE(pack, pack * packBytes);
  }
  return content;
}

// compiling takes memory, as it does where the program is started for the first time
process.env['NODE_DISABLE_COMPILE_CACHE'] = '1';

it('a dump of 600 MiB comes back by a process that takes less than 300 MB of memory', async () => {
  const keys = await createSealedKeys('owner');
  const bench = new SealedRestoreBench(temporaryDirectory(), keys, packBytes, { blockBytes: packBytes });
  const content = dump();
  const tree = [{ type: 'file' as const, path: 'dump', mode: 0o600, content }];
  await bench.data.addVersion(tree, '2026-11-21T08:40:00.000Z');
  const { agent } = bench.data;
  const stores = new Map([[agent, new Map([['database', heldFolder(await bench.serve())]])]]);
  const receiver = await startRestoreReceiver(bench.directory, stores, { listen: true });
  try {
    const took = await measureProcess([
      process.execPath,
      path.resolve(import.meta.dirname, '../../../agent/main.ts'),
      '--home',
      path.join(bench.directory, 'home'),
      'restore',
      '--to',
      bench.target,
      '--from',
      inviteToRestore(receiver, agent, receiver.addresses[0] ?? ''),
      '--key',
      bench.keyFile,
      '--key-passphrase-file',
      bench.passphraseFile,
    ]);
    expect(took.peakBytes).toBeLessThan(300_000_000);
    expect(await fileHash(path.join(bench.target, 'database/dump'))).toBe(sha256(content).toString('hex'));
  } finally {
    await receiver.links.stop();
    await bench.close();
  }
});
