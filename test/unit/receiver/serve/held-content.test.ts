import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { HeldContentSource } from '../../../../receiver/serve/held-content.ts';
import { ChunkListBuilder, longestChunks } from '../../../../shared/chunking/chunk-list.ts';
import { fileChunking } from '../../../../shared/chunking/chunking-parameters.ts';
import type { RelativePath } from '../../../../shared/records/relative-path.ts';
import { seededBytes } from '../../../support/seeded-bytes.ts';

const content = seededBytes('a large content', 3_500_000);
const hash = createHash('sha256').update(content).digest();

/** How a receiver tells what a copy of the content consists of. */
async function chunksOf(isSealed: boolean, held = content) {
  const open = () => ({
    size: held.length,
    read: (offset: number, length: number) => held.subarray(offset, offset + length),
    close: () => {},
  });
  const opened = await new HeldContentSource({ copies: () => [{ open, isSealed }] }).open(
    'folder',
    'file' as RelativePath,
    hash,
  );
  if (typeof opened === 'string') throw new TypeError(opened);
  return opened.chunkList();
}

it('cuts what is sealed into as few chunks as there can be', async () => {
  expect(await chunksOf(true)).toEqual(longestChunks(content, fileChunking));
});

it('cuts a file by its content, so that what is there already need not be sent', async () => {
  const builder = new ChunkListBuilder(fileChunking);
  builder.update(content);
  expect(await chunksOf(false)).toEqual(builder.finish());
});

it.each([true, false])(
  'gives no list of a copy that is not what its hash says; sealed: %s',
  async (isSealed) => {
    const damaged = Buffer.from(content);
    damaged[3_000_000] = 255 - (damaged[3_000_000] ?? 0);
    expect(await chunksOf(isSealed, damaged)).toBe('changed');
  },
);
