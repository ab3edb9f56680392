import fs from 'node:fs';
import path from 'node:path';
import { CodedError } from '../shared/errors/coded-error.ts';
import { shortDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import type { Disk } from '../shared/io/disk.ts';
import type { Logger } from '../shared/io/logger.ts';
import type { RelativePath } from '../shared/records/relative-path.ts';
import type { PointRecord } from '../shared/sealing/point-record.ts';
import type { AgentCopies } from './agent-copies.ts';
import { provePoint, type PointPart, type PointProof } from './points/folder-evidence.ts';
import { PointBook, type HeldPoint, type PointAnswer } from './points/point-book.ts';
import { resolvePointId } from './points/resolve-point-id.ts';
import type { PointRules } from './retention/point-retention.ts';

type Deps = {
  copies: AgentCopies;
  dataDirectory: string;
  disk: Disk;
  retentionNow: () => number;
  now: () => number;
  steadyNow: () => number;
  logger: Logger;
};

/** `point`: null where its files are damaged. */
type FoundPoint = { agentId: DeviceId; book: PointBook; id: string; point: HeldPoint | null };

export type ProvedPoint = HeldPoint & { proof: PointProof };

/** What is held less than a proof of completeness counts as, for the rules of retention. */
const unprovedFiles = Number.MAX_SAFE_INTEGER;

/** Why nothing goes, and what to do. */
function describeDamaged(agentId: DeviceId, damaged: readonly string[]): string {
  const names = `${damaged.slice(0, 3).join(', ')}${damaged.length > 3 ? ', …' : ''}`;
  return `the files of restore points of agent ${shortDeviceId(agentId)} are damaged or gone, so nobody can say what they need: ${names}; put them back (ID.json and ID.json.sig are the same on every receiver) and say "mastokeep-receiver scrub", or take the points away: "mastokeep-receiver forget ${damaged[0] ?? ''}"`;
}

/** The restore points of all agents, each apart: `<data>/<agent>/points`. */
export class PointBooks {
  readonly #deps: Deps;
  readonly #books = new Map<DeviceId, PointBook>();
  readonly #opening = new Map<DeviceId, Promise<PointBook>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Opened at the first use, and again after a failed write. @throws CodedError those of PointBook.open */
  async of(agentId: DeviceId): Promise<PointBook> {
    const opening = this.#opening.get(agentId) ?? this.#open(agentId);
    this.#opening.set(agentId, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(agentId);
    }
  }

  /** @throws CodedError those of PointBook.take */
  async take(agentId: DeviceId, record: Buffer, signature: Buffer): Promise<PointAnswer> {
    return (await this.of(agentId)).take(record, signature);
  }

  /** The points of an agent in the order of receipt, with what can be proved of each now. */
  async list(agentId: DeviceId): Promise<ProvedPoint[]> {
    const book = await this.of(agentId);
    await this.#countBytes(agentId, book.needed());
    return book.list().map((point) => Object.assign(point, { proof: this.#prove(agentId, point.record) }));
  }

  /** In the order of receipt, without a look at what is proved of them. */
  async held(agentId: DeviceId): Promise<HeldPoint[]> {
    return (await this.of(agentId)).list();
  }

  /**
   * What must be kept for points at the time of the call; the same array until that changes.
   * @throws CodedError RECORD_INVALID: of a point that is held nobody can say what it needs
   */
  async needed(agentId: DeviceId): Promise<() => readonly PointRecord[]> {
    const book = await this.of(agentId);
    const { damaged } = book;
    if (damaged.length > 0) throw new CodedError('RECORD_INVALID', describeDamaged(agentId, damaged));
    return () => (this.#books.get(agentId) ?? book).needed();
  }

  /** Those whose names sort later, by name, with their files; a point whose files are lost is left out. */
  async *listAfter(
    agentId: DeviceId,
    after: string | null,
  ): AsyncGenerator<{ point: ProvedPoint; files: { record: Buffer; signature: Buffer } }> {
    const book = await this.of(agentId);
    await this.#countBytes(agentId, book.needed());
    const later = book.list().filter(({ id }) => after === null || id > after);
    for (const point of later.sort((a, b) => (a.id < b.id ? -1 : 1))) {
      const files = book.files(point.id);
      if (files === null) continue;
      yield { point: Object.assign(point, { proof: this.#prove(agentId, point.record) }), files };
    }
  }

  /**
   * A page of the files that one of the agent's points lacks of a mirror folder now, in byte order, after the path; nothing of a
   * sealed folder, or where nothing is held of it. @throws CodedError POINT_UNKNOWN, FOLDER_UNKNOWN
   */
  async lacking(
    agentId: DeviceId,
    {
      point,
      folder,
      after,
      limit,
    }: { point: string; folder: string; after: RelativePath | null; limit: number },
  ): Promise<{ paths: RelativePath[]; next: RelativePath | null }> {
    const held = (await this.of(agentId)).get(point);
    if (held === null) throw new CodedError('POINT_UNKNOWN', `no restore point ${point} is held any more`);
    const part = held.record.folders.find(({ id }) => id === folder);
    if (part === undefined)
      throw new CodedError('FOLDER_UNKNOWN', `restore point ${point} has no folder "${folder}"`);
    const store = new Map(this.#deps.copies.foldersOf(agentId)).get(folder);
    if (part.kind !== 'mirror' || store?.kind !== 'mirror') return { paths: [], next: null };
    const interval = { indexId: Buffer.from(part.index, 'hex'), from: part.from, to: part.to };
    const paths = store.lackingBetween(interval, after, limit);
    return { paths, next: paths.length < limit ? null : (paths.at(-1) ?? null) };
  }

  /** The point that a text stands for, among those of these agents, damaged ones included. @throws CodedError POINT_UNKNOWN */
  async find(text: string, agentIds: readonly DeviceId[]): Promise<FoundPoint> {
    const held = new Map<string, FoundPoint>();
    for (const agentId of agentIds) {
      const book = await this.of(agentId);
      for (const id of book.damaged) held.set(id, { agentId, book, id, point: null });
      for (const point of book.list()) held.set(point.id, { agentId, book, id: point.id, point });
    }
    const found = held.get(resolvePointId(text, held.keys()));
    if (found === undefined) throw new Error('a point was found that nobody holds');
    return found;
  }

  /** Whether there are points that could not be read. */
  isHidden(agentId: DeviceId): boolean {
    return !this.#books.has(agentId) && fs.existsSync(this.#directory(agentId));
  }

  /** What is known without a look at the disk: nothing before the book was opened. */
  opened(agentId: DeviceId): PointBook | null {
    return this.#books.get(agentId) ?? null;
  }

  /**
   * Removes the points that the rules let go; durable when it resolves.
   * @throws CodedError JOURNAL_DAMAGED: pins may be lost, and nothing goes before a person has looked
   */
  async expire(agentId: DeviceId, rules: PointRules): Promise<readonly { id: string }[]> {
    const book = await this.of(agentId);
    const file = book.damagedJournal;
    if (file !== null)
      throw new CodedError(
        'JOURNAL_DAMAGED',
        `the journal of the restore points of agent ${shortDeviceId(agentId)} was damaged, and pins may be lost: look at "mastokeep-receiver points", pin again what shall stay, and then remove ${file}`,
      );
    return book.expire(rules, (record) => {
      const files = record === null ? null : this.#prove(agentId, record).incompleteFiles;
      return files ?? unprovedFiles;
    });
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#opening.values());
    for (const book of this.#books.values()) await book.close();
    this.#books.clear();
  }

  #directory(agentId: DeviceId): string {
    return path.join(this.#deps.dataDirectory, agentId, 'points');
  }

  #prove(agentId: DeviceId, record: PointRecord): PointProof {
    const stores = new Map(this.#deps.copies.foldersOf(agentId));
    return provePoint(record, (folder) => stores.get(folder) ?? null);
  }

  /** So that what is proved says how much a restore of it brings back. */
  async #countBytes(agentId: DeviceId, records: readonly PointRecord[]): Promise<void> {
    for (const [folder, store] of this.#deps.copies.foldersOf(agentId)) {
      if (store.kind !== 'mirror') continue;
      await store.countBytes(records.flatMap(({ folders }) => folders.filter(({ id }) => id === folder)));
    }
  }

  #isForgotten(agentId: DeviceId, parts: readonly PointPart[]): boolean {
    const stores = new Map(this.#deps.copies.foldersOf(agentId));
    return parts.some((part) => {
      const store = stores.get(part.id);
      return store?.kind === 'mirror' && store.hasForgotten(part);
    });
  }

  async #open(agentId: DeviceId): Promise<PointBook> {
    const known = this.#books.get(agentId);
    if (known !== undefined && !known.mustReopen) return known;
    await known?.close();
    const { copies, logger, ...deps } = this.#deps;
    const book = await PointBook.open(
      {
        ...deps,
        agentKey: () => copies.agentKey(agentId),
        keyOf: (deviceId) =>
          copies.signersOf(agentId).find((signer) => signer.deviceId === deviceId)?.key ?? null,
        isForgotten: ({ folders }) => this.#isForgotten(agentId, folders),
        logger: logger.child({ agentId }),
      },
      { directory: this.#directory(agentId), agent: agentId },
    );
    this.#books.set(agentId, book);
    return book;
  }
}
