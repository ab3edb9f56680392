import { z } from 'zod';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { encodeCheckedLine, isIntactLine, parseCheckedLine } from '../../shared/io/checked-line.ts';
import type { DirectoryState, FileState, SymlinkState } from '../../shared/records/file-record.ts';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import { parseRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';
import {
  damageKinds,
  journalFormats,
  type Holding,
  type JournalEntry,
  type LiveState,
  type Replaced,
  type SetEntry,
} from './journal-entry.ts';
import type { Moment } from './moment.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** One line of checked-line.ts. */
export function encodeJournalLine(entry: JournalEntry): Buffer {
  return encodeCheckedLine(formatEntry(entry));
}

/** @throws CodedError JOURNAL_DAMAGED: a checksum that differs, or an entry of an unknown shape. */
export function decodeJournalLine(line: Buffer): JournalEntry {
  if (!isIntactLine(line)) throw damaged('a line whose checksum differs', undefined);
  try {
    return entrySchema.parse(parseCheckedLine(line));
  } catch (error) {
    throw damaged('an entry that this version does not understand', error);
  }
}

function damaged(what: string, cause: unknown): CodedError {
  return new CodedError('JOURNAL_DAMAGED', `the journal has ${what}`, { cause });
}

type Json = Record<string, unknown>;

function formatEntry(entry: JournalEntry): Json {
  switch (entry.type) {
    case 'header':
    case 'intent':
      return entry;
    case 'begin': {
      const { position } = entry;
      return {
        ...entry,
        position:
          position === null
            ? null
            : {
                index: position.indexId.toString('hex'),
                sequence: position.sequence,
                token: position.token.toString('hex'),
              },
      };
    }
    case 'commit':
      return { ...entry, undone: entry.undone.map((path) => formatBytes('path', path)) };
    case 'set':
      return {
        type: 'set',
        ...formatBytes('path', entry.path),
        ...formatHolding(entry.holding),
        namedIn: entry.namedIn.toString('hex'),
        temp: entry.temp,
        replaced: entry.replaced === null ? null : formatReplaced(entry.replaced),
      };
    case 'remove':
      return { type: 'remove', ...formatBytes('path', entry.path), replaced: formatReplaced(entry.replaced) };
    case 'missing':
      return {
        type: 'missing',
        ...formatBytes('path', entry.path),
        namedIn: entry.namedIn.toString('hex'),
      };
    case 'version':
      return {
        type: 'version',
        ...formatBytes('path', entry.path),
        replaced: formatReplaced(entry.replaced),
        replacedAt: entry.replacedAt,
      };
    case 'expire':
      return {
        type: 'expire',
        ...formatBytes('path', entry.path),
        id: entry.id,
        ...formatName(entry.name),
      };
    case 'gap':
      return {
        type: 'gap',
        ...formatBytes('path', entry.path),
        begun: entry.begun.toString(),
        ended: entry.ended?.toString() ?? null,
      };
    case 'damage': {
      const { type, path, id, name, found, foundAt, aside, temp } = entry;
      const asideFields = aside === null ? { aside } : formatBytes('aside', aside);
      return {
        type,
        ...formatBytes('path', path),
        id,
        ...formatName(name),
        found,
        foundAt,
        ...asideFields,
        temp,
      };
    }
    case 'forgotten':
      return { type: 'forgotten', until: entry.until.toString() };
    case 'index': {
      const { indexId, ...rest } = entry;
      return { ...rest, index: indexId.toString('hex') };
    }
  }
}

function formatReplaced({ id, name, holding, ended }: Replaced): Json {
  return { id, ...formatName(name), ...formatHolding(holding), ended: ended.toString() };
}

function formatName(name: string | null): Json {
  return name === null ? { name: null } : formatBytes('name', name);
}

function formatHolding({ state, indexId, sequence, replaces, receivedAt, begun }: Holding): Json {
  const announced = { index: indexId.toString('hex'), sequence, replaces };
  return { ...formatState(state), ...announced, receivedAt, begun: begun.toString() };
}

function formatState(state: LiveState): Json {
  switch (state.kind) {
    case 'file': {
      const { kind, size, mtimeNs, mode, uid, gid, hash } = state;
      return { kind, size, mtimeNs: mtimeNs.toString(), mode, uid, gid, hash: hash.toString('hex') };
    }
    case 'symlink': {
      const { kind, target, mtimeNs, uid, gid } = state;
      const bytes = formatBytes('target', target.toString('latin1'));
      return { kind, ...bytes, mtimeNs: mtimeNs.toString(), uid, gid };
    }
    case 'directory':
      return state;
  }
}

/** A byte string as text under `key` where it is UTF-8, else base64 under `keyBase64`. */
function formatBytes(key: string, byteString: string): Json {
  const bytes = Buffer.from(byteString, 'latin1');
  try {
    return { [key]: utf8.decode(bytes) };
  } catch {
    return { [`${key}Base64`]: bytes.toString('base64') };
  }
}

const count = z.int().nonnegative();
const hex = (bytes: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))
    .transform((text) => Buffer.from(text, 'hex'));
const tokenSchema = z
  .string()
  .regex(/^(?:[0-9a-f]{2})*$/)
  .transform((text) => Buffer.from(text, 'hex'));
const nanoseconds = z
  .string()
  .regex(/^-?\d{1,19}$/)
  .transform(BigInt);

const momentField = z
  .string()
  .regex(/^\d{1,19}$/)
  .transform(BigInt);

type BytesFields<K extends string> = Partial<Record<K | `${K}Base64`, string | null | undefined>>;

function parseBytes<K extends string>(key: K, fields: BytesFields<K>): string | null {
  const [text, base64] = [fields[key], fields[`${key}Base64`]];
  if (typeof text === 'string') return Buffer.from(text, 'utf8').toString('latin1');
  if (typeof base64 === 'string') return Buffer.from(base64, 'base64').toString('latin1');
  return null;
}

function parsePath(fields: BytesFields<'path'>): RelativePath {
  return parseRelativePath(Buffer.from(parseBytes('path', fields) ?? '\0', 'latin1'));
}

const pathFields = { path: z.string().optional(), pathBase64: z.string().optional() };
const nameFields = { name: z.string().nullish(), nameBase64: z.string().optional() };
const holdingFields = {
  index: hex(8),
  sequence: count,
  replaces: count.nullable(),
  receivedAt: count,
  begun: momentField,
};
const fileFields = {
  kind: z.literal('file'),
  size: count,
  mtimeNs: nanoseconds,
  mode: count,
  uid: count,
  gid: count,
  hash: hex(32),
};
const symlinkFields = {
  kind: z.literal('symlink'),
  target: z.string().optional(),
  targetBase64: z.string().optional(),
  mtimeNs: nanoseconds,
  uid: count,
  gid: count,
};
const directoryFields = { kind: z.literal('directory'), mode: count, uid: count, gid: count };

type HoldingFields = {
  index: Buffer;
  sequence: number;
  replaces: number | null;
  receivedAt: number;
  begun: Moment;
} & (FileState | (Omit<SymlinkState, 'target'> & BytesFields<'target'>) | DirectoryState);

function parseHolding(fields: HoldingFields): Holding {
  const { index: indexId, sequence, replaces, receivedAt, begun } = fields;
  return { state: parseState(fields), indexId, sequence, replaces, receivedAt, begun };
}

function parseState(fields: HoldingFields): LiveState {
  switch (fields.kind) {
    case 'file': {
      const { kind, size, mtimeNs, mode, uid, gid, hash } = fields;
      return { kind, size, mtimeNs, mode, uid, gid, hash };
    }
    case 'symlink': {
      const { kind, mtimeNs, uid, gid } = fields;
      return { kind, target: Buffer.from(parseBytes('target', fields) ?? '', 'latin1'), mtimeNs, uid, gid };
    }
    case 'directory': {
      const { kind, mode, uid, gid } = fields;
      return { kind, mode, uid, gid };
    }
  }
}

const replacedFields = { id: count, ...nameFields, ...holdingFields, ended: momentField };
const replacedSchema = z
  .discriminatedUnion('kind', [
    z.object({ ...replacedFields, ...fileFields }),
    z.object({ ...replacedFields, ...symlinkFields }),
    z.object({ ...replacedFields, ...directoryFields }),
  ])
  .transform((fields): Replaced => ({
    id: fields.id,
    name: parseBytes('name', fields),
    holding: parseHolding(fields),
    ended: fields.ended,
  }));

const setFields = {
  type: z.literal('set'),
  ...pathFields,
  namedIn: hex(8),
  temp: z.string().nullable(),
  replaced: replacedSchema.nullable(),
};
const setSchema = z
  .discriminatedUnion('kind', [
    z.object({ ...setFields, ...holdingFields, ...fileFields }),
    z.object({ ...setFields, ...holdingFields, ...symlinkFields }),
    z.object({ ...setFields, ...holdingFields, ...directoryFields }),
  ])
  .transform((fields): SetEntry => ({
    type: 'set',
    path: parsePath(fields),
    holding: parseHolding(fields),
    namedIn: fields.namedIn,
    temp: fields.temp,
    replaced: fields.replaced,
  }));

const entrySchema: z.ZodType<JournalEntry> = z.union([
  setSchema,
  z.object({ type: z.literal('remove'), ...pathFields, replaced: replacedSchema }).transform((fields) => ({
    type: fields.type,
    path: parsePath(fields),
    replaced: fields.replaced,
  })),
  z.object({ type: z.literal('missing'), ...pathFields, namedIn: hex(8) }).transform((fields) => ({
    type: fields.type,
    path: parsePath(fields),
    namedIn: fields.namedIn,
  })),
  z
    .object({ type: z.literal('version'), ...pathFields, replaced: replacedSchema, replacedAt: count })
    .transform((fields) => ({
      type: fields.type,
      path: parsePath(fields),
      replaced: fields.replaced,
      replacedAt: fields.replacedAt,
    })),
  z.object({ type: z.literal('expire'), ...pathFields, id: count, ...nameFields }).transform((fields) => ({
    type: fields.type,
    path: parsePath(fields),
    id: fields.id,
    name: parseBytes('name', fields),
  })),
  z.object({
    type: z.literal('begin'),
    batch: count,
    at: count,
    nextVersionId: count,
    position: z
      .object({ index: hex(8), sequence: count, token: tokenSchema })
      .transform(({ index: indexId, sequence, token }): FeedPosition => ({ indexId, sequence, token }))
      .nullable(),
    indexNumber: count,
    completes: z.boolean(),
    settles: z.boolean(),
    forgets: z.boolean(),
    doubtful: z.boolean(),
  }),
  z
    .object({ type: z.literal('gap'), ...pathFields, begun: momentField, ended: momentField.nullable() })
    .transform((fields) => ({
      type: fields.type,
      path: parsePath(fields),
      begun: fields.begun,
      ended: fields.ended,
    })),
  z.object({ type: z.literal('forgotten'), until: momentField }),
  z
    .object({
      type: z.literal('damage'),
      ...pathFields,
      id: count.nullable(),
      ...nameFields,
      found: z.enum(damageKinds).nullable(),
      foundAt: count,
      aside: z.string().nullish(),
      asideBase64: z.string().optional(),
      temp: z.string().nullable(),
    })
    .transform((fields) => ({
      type: fields.type,
      path: parsePath(fields),
      id: fields.id,
      name: parseBytes('name', fields),
      found: fields.found,
      foundAt: fields.foundAt,
      aside: parseBytes('aside', fields),
      temp: fields.temp,
    })),
  z
    .object({
      type: z.literal('index'),
      index: hex(8),
      number: count,
      reached: count,
      settled: count.nullable(),
      complete: z.boolean(),
      provenFrom: count.nullable(),
    })
    .transform(({ index: indexId, ...rest }) => ({ ...rest, indexId })),
  z.object({ type: z.literal('intent'), batch: count, entries: count }),
  z.object({
    type: z.literal('commit'),
    batch: count,
    undone: z.array(z.object(pathFields).transform(parsePath)),
  }),
  z.object({
    type: z.literal('header'),
    format: z.enum(journalFormats),
    formatVersion: z.literal(1),
    agent: z.string(),
    folder: z.string(),
    segment: count,
    snapshot: z.boolean(),
  }),
]);
