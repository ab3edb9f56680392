import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { SealedContent } from '../../../agent/restore/sealed-content.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';

const pack = 'ab'.repeat(32);
const root = 'cd'.repeat(32);
const about = {
  folder: 'database',
  epoch: '00000000000000ab',
  number: 1,
  createdAt: '2026-11-21T08:40:00.000Z',
};

/** The content of a version whose manifest is that one, all in one pack. */
function contentOf(manifest: Buffer): SealedContent {
  return new SealedContent(
    {
      objects: { fetchPack: async () => Buffer.alloc(1) },
      unsealer: { unsealPack: async () => Buffer.from(manifest), unsealMessage: async () => Buffer.alloc(0) },
    },
    {
      ...about,
      agent: 'AGENT' as DeviceId,
      previous: null,
      root,
      recipients: [],
      packs: [
        [pack, 1],
        [root, 1],
      ],
    },
  );
}

it('reads a manifest that lies scattered in two hundred thousand pieces as it reads a whole one', async () => {
  // a manifest may list packs that nothing uses
  const unused = Array.from({ length: 3000 }, (_, at) => at.toString(16).padStart(64, '0'));
  const file = { path: 'empty', type: 'file', size: 0, mode: 0o644, uid: 0, gid: 0, mtimeNs: '1' };
  const sha256 = createHash('sha256').digest('hex');
  const lines = [
    { format: 'mastokeep-manifest-1', folder: about.folder, createdAt: about.createdAt },
    { packs: unused },
    { ...file, sha256, extents: [] },
  ];
  const manifest = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const read = async (extentBytes: number) =>
    contentOf(manifest).readEntries({
      ...about,
      source: { kind: 'paths' },
      manifest: {
        size: manifest.length,
        sha256: createHash('sha256').update(manifest).digest('hex'),
        extents: Array.from({ length: Math.ceil(manifest.length / extentBytes) }, (_, at) => ({
          pack,
          offset: at * extentBytes,
          length: Math.min(extentBytes, manifest.length - at * extentBytes),
        })),
      },
    });
  const entries = await read(manifest.length);
  expect(entries).toHaveLength(1);
  expect(await read(1)).toEqual(entries);
});
