import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isIntactLine } from '../../shared/io/checked-line.ts';
import { damageKinds, type JournalEntry, type LiveState } from '../../receiver/store/journal-entry.ts';
import { decodeJournalLine, encodeJournalLine } from '../../receiver/store/journal-line.ts';
import { parseRelativePath } from '../../shared/records/relative-path.ts';

const count = fc.maxSafeNat();
const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array));
const byteString = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 40 }).map((array) => Buffer.from(array).toString('latin1')),
  fc.string({ minLength: 1, unit: 'grapheme' }).map((text) => Buffer.from(text).toString('latin1')),
);
const relativePath = byteString
  .filter((text) => !text.includes('\0') && !text.split('/').some((part) => ['', '.', '..'].includes(part)))
  .map((text) => parseRelativePath(Buffer.from(text, 'latin1')));
const owner = { mtimeNs: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), uid: count, gid: count };
const state = fc.oneof(
  fc.record({ kind: fc.constant('file'), size: count, mode: count, hash: bytes(32), ...owner }),
  fc.record({
    kind: fc.constant('symlink'),
    target: byteString.map((text) => Buffer.from(text, 'latin1')),
    ...owner,
  }),
  fc.record({ kind: fc.constant('directory'), mode: count, uid: count, gid: count }),
) as fc.Arbitrary<LiveState>;
const moment = fc.bigInt({ min: 0n, max: 2n ** 62n });
const holding = fc.record({
  state,
  indexId: bytes(8),
  sequence: count,
  replaces: fc.option(count),
  receivedAt: count,
  begun: moment,
});
const replaced = fc.record({ id: count, name: fc.option(byteString), holding, ended: moment });
const entry = fc.oneof(
  fc.record({
    type: fc.constant('set'),
    path: relativePath,
    holding,
    namedIn: bytes(8),
    temp: fc.option(fc.string()),
    replaced: fc.option(replaced),
  }),
  fc.record({ type: fc.constant('remove'), path: relativePath, replaced }),
  fc.record({ type: fc.constant('missing'), path: relativePath, namedIn: bytes(8) }),
  fc.record({ type: fc.constant('version'), path: relativePath, replaced, replacedAt: count }),
  fc.record({ type: fc.constant('expire'), path: relativePath, id: count, name: fc.option(byteString) }),
  fc.record({ type: fc.constant('gap'), path: relativePath, begun: moment, ended: fc.option(moment) }),
  fc.record({
    type: fc.constant('damage'),
    path: relativePath,
    id: fc.option(count),
    name: fc.option(byteString),
    found: fc.option(fc.constantFrom(...damageKinds)),
    foundAt: count,
    aside: fc.option(byteString),
    temp: fc.option(fc.string()),
  }),
  fc.record({
    type: fc.constant('index'),
    indexId: bytes(8),
    number: count,
    reached: count,
    settled: fc.option(count),
    complete: fc.boolean(),
    provenFrom: fc.option(count),
  }),
  fc.record({ type: fc.constant('intent'), batch: count, entries: count }),
  fc.record({ type: fc.constant('commit'), batch: count, undone: fc.array(relativePath) }),
  fc.record({
    type: fc.constant('begin'),
    batch: count,
    at: count,
    nextVersionId: count,
    position: fc.option(fc.record({ indexId: bytes(8), sequence: count, token: bytes(32) })),
    indexNumber: count,
    completes: fc.boolean(),
    settles: fc.boolean(),
    forgets: fc.boolean(),
    doubtful: fc.boolean(),
  }),
) as fc.Arbitrary<JournalEntry>;

it('reads back every entry that it writes, on one line', () => {
  fc.assert(
    fc.property(entry, (written) => {
      const line = encodeJournalLine(written);
      expect(line.indexOf(0x0a)).toBe(line.length - 1);
      expect(decodeJournalLine(line.subarray(0, -1))).toEqual(written);
    }),
  );
});

it('notices any changed bit of a line', () => {
  const line = encodeJournalLine({ type: 'intent', batch: 7, entries: 3 }).subarray(0, -1);
  for (let bit = 0; bit < line.length * 8; bit += 1) {
    const changed = Buffer.from(line);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(isIntactLine(changed)).toBe(false);
  }
});

it('reads the journals of earlier versions', () => {
  const file = path.join(import.meta.dirname, '../fixtures/mirror-journal/format-1.journal');
  const lines = fs.readFileSync(file, 'latin1').split('\n').slice(0, -1);
  const entries = lines.map((line) => decodeJournalLine(Buffer.from(line, 'latin1')));
  const types =
    'header begin intent commit begin set set set set intent commit begin set remove missing gap gap intent commit begin expire expire intent commit';
  expect(entries.map(({ type }) => type).join(' ')).toBe(types);
  expect(entries.map((one) => encodeJournalLine(one).toString('latin1')).join('')).toBe(
    `${lines.join('\n')}\n`,
  );
});
