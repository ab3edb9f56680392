import fc from 'fast-check';
import type { Message } from '../../shared/protocol/codec.ts';
import { parseRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';
import type { PathState } from '../../shared/records/file-record.ts';

const bytes = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
const hash = bytes(32, 32);
const indexId = bytes(8, 8);
const token = bytes(32, 32);
const safeInteger = fc.oneof(
  fc.maxSafeNat(),
  fc.nat(0xffff),
  fc.constantFrom(0, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER),
);
const uint32 = fc.nat(0xffff_ffff);
const text = fc.string({ unit: 'binary', maxLength: 60 }).map((value) => value.toWellFormed());
const folder = fc.constantFrom('media', 'database', '0', 'a'.repeat(64), 'x.y_z-1');
const mode = fc.nat(0o7777);
const timeNs = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -10n, max: 10n }),
);

const anyPath: fc.Arbitrary<RelativePath> = fc
  .array(
    fc
      .uint8Array({ minLength: 1, maxLength: 30 })
      .map((name) => name.map((byte) => (byte === 0 || byte === 0x2f ? 0x80 : byte)))
      .filter(
        (name) => !(name[0] === 0x2e && (name.length === 1 || (name[1] === 0x2e && name.length === 2))),
      ),
    { minLength: 1, maxLength: 4 },
  )
  .map((segments) =>
    parseRelativePath(
      Buffer.from(segments.map((name) => Buffer.from(name).toString('latin1')).join('/'), 'latin1'),
    ),
  );

const present = [
  fc.record({
    kind: fc.constant('file' as const),
    size: safeInteger,
    mtimeNs: timeNs,
    mode,
    uid: uint32,
    gid: uint32,
    hash,
  }),
  fc.record({
    kind: fc.constant('symlink' as const),
    target: bytes(1, 100),
    mtimeNs: timeNs,
    uid: uint32,
    gid: uint32,
  }),
  fc.record({ kind: fc.constant('directory' as const), mode, uid: uint32, gid: uint32 }),
] as const;
const presentState = fc.oneof(...present);
const anyState: fc.Arbitrary<PathState> = fc.oneof(...present, fc.constant({ kind: 'deleted' as const }));
const nullable = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const position = fc.record({ indexId, sequence: safeInteger, token });
const item = fc.nat(1023);
const pointName = fc.constantFrom('20261121-140000-0a1b2c3d', '99991231-235959-ffffffff');
const plain = { noNullPrototype: true } as const;

/** Any message that the schemas allow, with emphasis on the edges of integers. */
export const anyMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.record(
    {
      type: fc.constant('hello' as const),
      protocolVersions: fc.array(fc.integer({ min: 1, max: 0xffff }), { minLength: 1, maxLength: 16 }),
      program: text,
      programVersion: text,
      deviceRole: fc.constantFrom('agent' as const, 'receiver' as const, 'restorer' as const),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('offer' as const),
      folders: fc.array(
        fc.record({ id: folder, kind: fc.constantFrom('mirror' as const, 'sealed' as const), indexId }),
        { maxLength: 64 },
      ),
    },
    plain,
  ),
  fc.record(
    { type: fc.constant('subscribe' as const), folder, indexId, position: nullable(position) },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('records' as const),
      folder,
      indexId,
      records: fc.array(
        fc.record({ path: anyPath, sequence: safeInteger, replaces: nullable(safeInteger), state: anyState }),
        { maxLength: 8 },
      ),
      checkpoint: nullable(fc.record({ through: safeInteger, token, isHead: fc.boolean() })),
    },
    plain,
  ),
  fc.record({ type: fc.constant('indexEnd' as const), folder, indexId, through: safeInteger, token }, plain),
  fc.record({ type: fc.constant('durable' as const), folder, indexId, sequence: safeInteger, token }, plain),
  fc.record(
    {
      type: fc.constant('refuse' as const),
      folder: nullable(folder),
      code: fc.constantFrom('STORE_FULL', 'QUOTA_REACHED', 'A'),
      message: text,
      hint: nullable(text),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('missing' as const),
      folder,
      packs: fc.array(hash, { minLength: 1, maxLength: 8 }),
    },
    plain,
  ),
  fc.record({ type: fc.constant('point' as const), record: bytes(1, 2000), signature: bytes(1, 128) }, plain),
  fc.record(
    {
      type: fc.constant('pointTaken' as const),
      hash,
      held: fc.boolean(),
      code: nullable(fc.constantFrom('POINTS_LIMITED', 'RECORD_FORGED')),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('want' as const),
      requestId: uint32,
      folder,
      items: fc.array(
        fc.record({
          path: anyPath,
          hash,
          offset: safeInteger,
          length: fc.integer({ min: 1, max: 32 * 1024 * 1024 }),
        }),
        { minLength: 1, maxLength: 8 },
      ),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('content' as const),
      requestId: uint32,
      parts: fc.array(fc.record({ item, offset: safeInteger, bytes: bytes(1, 100) }), {
        minLength: 1,
        maxLength: 8,
      }),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('gone' as const),
      requestId: uint32,
      item,
      reason: fc.constantFrom('vanished' as const, 'changed' as const, 'unreadable' as const),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('wantChunks' as const),
      requestId: uint32,
      folder,
      path: anyPath,
      hash,
      from: safeInteger,
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('chunks' as const),
      requestId: uint32,
      chunking: fc.constant('fastcdc-256k' as const),
      from: safeInteger,
      total: safeInteger,
      chunks: fc.array(fc.record({ length: fc.integer({ min: 1, max: 1024 * 1024 }), hash }), {
        minLength: 1,
        maxLength: 8,
      }),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('browse' as const),
      requestId: uint32,
      folder: nullable(folder),
      at: nullable(safeInteger),
      between: nullable(fc.record({ indexId, from: safeInteger, to: safeInteger })),
      after: nullable(anyPath),
      limit: fc.integer({ min: 1, max: 1024 }),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('entries' as const),
      requestId: uint32,
      folders: nullable(
        fc.array(
          fc.record({
            id: folder,
            kind: fc.constantFrom('mirror' as const, 'sealed' as const),
            files: safeInteger,
            bytes: safeInteger,
          }),
          { maxLength: 4 },
        ),
      ),
      entries: fc.array(fc.record({ path: anyPath, state: presentState }), { maxLength: 8 }),
      next: nullable(anyPath),
      at: safeInteger,
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('browsePoints' as const),
      requestId: uint32,
      after: nullable(pointName),
      limit: fc.integer({ min: 1, max: 64 }),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('heldPoints' as const),
      requestId: uint32,
      agentKey: nullable(bytes(1, 256)),
      points: fc.array(
        fc.record({
          record: bytes(1, 2000),
          signature: bytes(1, 128),
          receivedAt: safeInteger,
          pin: nullable(text),
          parts: fc.array(
            fc.record({
              state: fc.constantFrom('complete' as const, 'incomplete' as const, 'unknown' as const),
              files: safeInteger,
              bytes: nullable(safeInteger),
              lacking: fc.array(anyPath, { maxLength: 3 }),
            }),
            { maxLength: 4 },
          ),
        }),
        { maxLength: 4 },
      ),
      next: nullable(pointName),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('browseLacking' as const),
      requestId: uint32,
      point: pointName,
      folder,
      after: nullable(anyPath),
      limit: fc.integer({ min: 1, max: 1024 }),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant('lackingPaths' as const),
      requestId: uint32,
      paths: fc.array(anyPath, { maxLength: 8 }),
      next: nullable(anyPath),
    },
    plain,
  ),
);
