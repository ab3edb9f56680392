import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { resumableSha256, type ResumableSha256 } from '../../../../receiver/store/resumable-sha256.ts';
import { silentLogger } from '../../../../shared/io/logger.ts';

async function load(): Promise<ResumableSha256> {
  const sha256 = await resumableSha256(silentLogger);
  if (sha256 === null) throw new Error('it cannot be loaded');
  return sha256;
}

it('gives the hash that Node.js gives, wherever its state was kept in between', async () => {
  const sha256 = await load();
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), (pieces) => {
      const native = createHash('sha256');
      let kept = Buffer.from(sha256.begin()).toString('base64');
      for (const piece of pieces) {
        native.update(piece);
        kept = Buffer.from(sha256.add(Buffer.from(kept, 'base64'), piece)).toString('base64');
      }
      expect(sha256.digest(Buffer.from(kept, 'base64'))).toEqual(native.digest());
    }),
  );
});

it('lets several hashes grow in turns', async () => {
  const sha256 = await load();
  const [one, two] = [Buffer.from('one'), Buffer.from('two')];
  const half = sha256.add(sha256.begin(), one);
  const other = sha256.add(sha256.begin(), two);
  expect(sha256.digest(sha256.add(half, two))).toEqual(createHash('sha256').update('onetwo').digest());
  expect(sha256.digest(sha256.add(other, one))).toEqual(createHash('sha256').update('twoone').digest());
});

it('has nothing of what it read in a state behind whole blocks', async () => {
  const sha256 = await load();
  const secret = Buffer.from('secret'.repeat(64));
  const states = [64, 320, 384].map((length) => sha256.add(sha256.begin(), secret.subarray(0, length)));
  expect(states.some((state) => Buffer.from(state).includes('secret'))).toBe(false);
  const torn = Buffer.from(sha256.add(sha256.begin(), secret.subarray(0, 80)));
  expect(torn.includes('secret')).toBe(true);
});

it('refuses a state of another version of the library, of another length, and nothing of its own', async () => {
  const sha256 = await load();
  const state = Buffer.from(sha256.add(sha256.begin(), Buffer.from('abc')));
  const strange = Buffer.from(state);
  strange.writeUInt8(strange.readUInt8(0) ^ 1, 0);
  expect([state, strange, state.subarray(1), Buffer.alloc(0)].map((one) => sha256.accepts(one))).toEqual([
    true,
    false,
    false,
    false,
  ]);
});
