import { createHash } from 'node:crypto';
import path from 'node:path';
import { choosePacksToForget, isKnown } from '../../agent/seal/known-packs.ts';
import { openSealDatabase } from '../../agent/seal/seal-database.ts';
import { SealIndex } from '../../agent/seal/seal-index.ts';
import type { NewObject } from '../../agent/seal/sealed-object.ts';
import { SealedFeed } from '../../agent/seal/sealed-feed.ts';
import { SpoolBound } from '../../agent/seal/spool-bound.ts';
import { SpoolKeeper } from '../../agent/seal/spool-keeper.ts';
import { Spool } from '../../agent/seal/spool.ts';
import { isCoded } from '../../shared/errors/coded-error.ts';
import { packName, versionName, versionSignatureName } from '../../shared/sealing/object-name.ts';
import { SeededRandom } from './seeded-random.ts';

const dayMs = 86_400_000;
const leaseMs = 7 * dayMs;
const packBytes = 100;

/** A receiver as it truly is: what it holds, whatever the agent believes. Names of objects with the time they came. */
type WorldReceiver = { held: Map<string, number>; sequence: number };

export type DumpPlan = { seed: number; newPacks: number; fails: boolean; between: readonly WorldStep[] };

export type WorldStep =
  | { do: 'pull'; receiver: string; batches: number }
  | { do: 'lose'; receiver: string; seed: number }
  | { do: 'see'; receiver: string }
  | { do: 'forget'; receiver: string };

/**
 * The agent's side of one sealed folder (its database, spool and feed) without threads and OpenPGP, and receivers that
 * keep to the rules: they hold what they acknowledged, but what they lose and say so, and keep packs that no version
 * of theirs names for 7 days.
 */
export class SealWorld {
  nowMs = 1_000 * dayMs;
  readonly receivers = new Map<string, WorldReceiver>();
  /** Packs by the name of the version record that names them. */
  readonly versions = new Map<string, ReadonlySet<string>>();
  readonly #directory: string;
  readonly #spoolBytesMax: number;
  #database: ReturnType<typeof openSealDatabase>;
  #index: SealIndex;
  #keeper: SpoolKeeper;
  #bound: SpoolBound;
  #feed: SealedFeed;
  #packs = 0;
  /** What each receiver lost since the dump began. */
  #lost = new Map<string, Set<string>>();
  /** Who was passed over or forgotten since the dump began, and so is not active for it, even if it has reported again. */
  readonly #passedOver = new Set<string>();

  constructor(directory: string, spoolBytesMax: number) {
    this.#directory = directory;
    this.#spoolBytesMax = spoolBytesMax;
    [this.#database, this.#index, this.#keeper, this.#bound, this.#feed] = this.#open();
  }

  /** As if the agent had been started again. */
  restart(): void {
    this.close();
    [this.#database, this.#index, this.#keeper, this.#bound, this.#feed] = this.#open();
  }

  close(): void {
    this.#keeper.close();
    this.#database.close();
  }

  newEpoch(): void {
    this.#index.startEpoch('others', this.nowMs);
  }

  spoolBytes(): number {
    return this.#bound.bytes();
  }

  passDays(days: number): void {
    this.nowMs += days * dayMs;
    for (const { held } of this.receivers.values()) {
      const named = this.#namedBy(held);
      for (const [name, receivedAt] of held) {
        const isPack = name.startsWith('packs/');
        if (isPack && !named.has(name) && this.nowMs - receivedAt > leaseMs) held.delete(name);
      }
    }
  }

  step(step: WorldStep): void {
    const receiver = this.receivers.get(step.receiver);
    switch (step.do) {
      case 'pull':
        this.#pull(step.receiver, step.batches);
        return;
      case 'lose':
        if (receiver !== undefined) this.#lose(step.receiver, receiver, new SeededRandom(step.seed));
        return;
      case 'see':
        this.#keeper.seen(step.receiver);
        return;
      case 'forget':
        this.#noteLost(step.receiver, receiver?.held.keys() ?? []);
        this.#passedOver.add(step.receiver);
        this.receivers.delete(step.receiver);
        this.#keeper.forget(step.receiver);
        return;
    }
  }

  /**
   * A dump by the rules, of a source that keeps some of what is known; null where it made no version. Gives whatever
   * the version refers to that is neither in the spool nor with every receiver that was active all the time, or that nobody has.
   */
  async dump({ seed, newPacks, fails, between }: DumpPlan): Promise<string[] | null> {
    const random = new SeededRandom(seed);
    this.#lost = new Map();
    this.#passedOver.clear();
    this.#keeper.settle();
    const { objects } = this.#index;
    const epoch = this.#index.epoch() ?? this.#index.startEpoch('somebody', this.nowMs);
    const active = this.#keeper.active();
    const known = objects.packs(epoch.id).filter((pack) => isKnown(pack, active, this.nowMs));
    const forgotten = new Set(choosePacksToForget(known, this.#index.lastVersion()?.new_bytes ?? 0));
    const used = new Map<number, number>();
    for (const { id } of known) {
      if (forgotten.has(id) || random.chance(1 / 3)) continue;
      used.set(id, random.integer(1, packBytes));
    }
    try {
      for (let at = 0; at < newPacks; at += 1) {
        used.set(await this.#addObject(epoch.id, 'pack'), packBytes);
        const step = between[at];
        if (step !== undefined) this.step(step);
      }
      if (fails) return null;
      const root = await this.#addObject(epoch.id, 'root');
      const rootObject = objects.byId(root);
      await this.#addVersion(epoch.id, used, rootObject?.hash ?? Buffer.alloc(0), newPacks * packBytes);
    } catch (error) {
      if (isCoded(error, 'SPOOL_FULL')) return null;
      throw error;
    }
    const stillActive = new Set(this.#keeper.active().map(({ receiverId }) => receiverId));
    const counted = active.filter(
      ({ receiverId }) => stillActive.has(receiverId) && !this.#passedOver.has(receiverId),
    );
    const dangling: string[] = [];
    for (const id of used.keys()) {
      const object = objects.byId(id);
      if (object === null) dangling.push(`object ${id} is not in the database`);
      else if (object.in_spool === 0 && !this.#isHeld(object.name))
        dangling.push(`nobody has ${object.name}`);
      if (object === null || object.in_spool === 1) continue;
      for (const { receiverId } of counted) {
        if (this.#lost.get(receiverId)?.has(object.name) === true) continue;
        if (this.receivers.get(receiverId)?.held.has(object.name) === true) continue;
        dangling.push(`${object.name} is not held by ${receiverId}`);
      }
    }
    return dangling;
  }

  /** What the latest version names and the receiver does not hold. */
  lackedOfLatest(receiverId: string): string[] {
    const latest = [...this.versions.values()].at(-1) ?? new Set();
    const held = this.receivers.get(receiverId)?.held;
    return [...latest].filter((name) => held?.has(name) !== true);
  }

  /** Held by a receiver, or lost by one since the dump began. */
  #isHeld(name: string): boolean {
    const lost = [...this.#lost.values()].some((names) => names.has(name));
    return lost || [...this.receivers.values()].some(({ held }) => held.has(name));
  }

  #open(): [ReturnType<typeof openSealDatabase>, SealIndex, SpoolKeeper, SpoolBound, SealedFeed] {
    const now = (): number => this.nowMs;
    const database = openSealDatabase(path.join(this.#directory, 'seal.db'));
    // safe against a crash of the process, which is what matters here, and much faster
    database.pragma('synchronous = OFF');
    const spoolDirectory = path.join(this.#directory, 'spool');
    const spool = new Spool(spoolDirectory);
    const index = new SealIndex(database, 'database', this.nowMs);
    const keeper = new SpoolKeeper({ index, spool, now, onChange: () => {} });
    const bound = new SpoolBound(now, { bytesMax: this.#spoolBytesMax, waitMsMax: 0 });
    bound.add(keeper);
    const feed = new SealedFeed({ index, keeper, spoolDirectory, onRenewed: () => {} }, 'database');
    return [database, index, keeper, bound, feed];
  }

  async #addObject(epoch: number, kind: 'pack' | 'root'): Promise<number> {
    await this.#makeRoom(packBytes);
    this.#packs += 1;
    const content = Buffer.alloc(packBytes, `${kind} ${this.#packs} `);
    const hash = createHash('sha256').update(content).digest();
    const name = packName(hash);
    this.#spool().write(name, content);
    const id = this.#index.objects.nextId();
    const object: NewObject = {
      id,
      kind,
      name,
      hash,
      bytes: packBytes,
      plainBytes: packBytes,
      chunkList: null,
    };
    if (kind === 'pack') this.#index.addPack(epoch, object, Buffer.alloc(0), this.nowMs);
    else this.#index.addRoot(epoch, object, this.nowMs);
    return id;
  }

  async #makeRoom(bytes: number): Promise<void> {
    await this.#bound.waitForRoom(() => bytes, new AbortController().signal);
    for (const { receiverId, passedOver } of this.#keeper.receivers()) {
      if (passedOver) this.#passedOver.add(receiverId);
    }
  }

  async #addVersion(
    epoch: number,
    used: ReadonlyMap<number, number>,
    rootHash: Buffer,
    newBytes: number,
  ): Promise<void> {
    await this.#makeRoom(2);
    const number = (this.#index.lastVersion()?.number ?? 0) + 1;
    const name = { number, epoch: '0123456789abcdef' };
    const plain = (kind: NewObject['kind'], file: string): NewObject => {
      this.#spool().write(file, Buffer.alloc(1));
      const hash = createHash('sha256').update(file).digest();
      return { id: null, kind, name: file, hash, bytes: 1, plainBytes: 0, chunkList: null };
    };
    const packs = [...used.keys()].map((id) => this.#index.objects.byId(id)?.name ?? `object ${id}`);
    this.versions.set(versionName(name), new Set([...packs, packName(rootHash)]));
    this.#index.addVersion(
      epoch,
      {
        signature: plain('signature', versionSignatureName(name)),
        record: plain('version', versionName(name)),
        rootHash,
      },
      {
        number,
        created_at: this.nowMs,
        plain_bytes: 0,
        new_bytes: newBytes,
        sealed_bytes: 0,
        manifest_packs: '[]',
      },
      used,
      this.nowMs,
    );
  }

  #spool(): Spool {
    return new Spool(path.join(this.#directory, 'spool'));
  }

  #pull(receiverId: string, batches: number): void {
    let receiver = this.receivers.get(receiverId);
    if (receiver === undefined) {
      receiver = { held: new Map(), sequence: 0 };
      this.receivers.set(receiverId, receiver);
    }
    // a receiver that subscribes says how far it is
    this.#acknowledge(receiverId, receiver.sequence);
    for (let at = 0; at < batches; at += 1) {
      const batch = this.#feed.batchAfter(receiver.sequence, 3);
      if (batch === null) break;
      for (const { path: name } of batch.records) receiver.held.set(name, this.nowMs);
      receiver.sequence = batch.through;
      this.#acknowledge(receiverId, batch.through);
    }
    // and it tells what it lacks of its versions
    const { held } = receiver;
    this.#report(receiverId, new Set([...this.#namedBy(held)].filter((name) => !held.has(name))));
  }

  #acknowledge(receiverId: string, sequence: number): void {
    const indexId = this.#feed.indexId();
    this.#feed.acknowledged(receiverId, { indexId, sequence, token: Buffer.alloc(32) });
  }

  #lose(receiverId: string, receiver: WorldReceiver, random: SeededRandom): void {
    const packs = [...receiver.held.keys()].filter((name) => name.startsWith('packs/'));
    const lost = packs.filter(() => random.chance(1 / 4));
    for (const name of lost) receiver.held.delete(name);
    this.#report(receiverId, new Set(lost));
  }

  /** All that the versions name which a receiver holds. */
  #namedBy(held: ReadonlyMap<string, number>): Set<string> {
    const named = new Set<string>();
    for (const name of held.keys()) for (const pack of this.versions.get(name) ?? []) named.add(pack);
    return named;
  }

  #noteLost(receiverId: string, names: Iterable<string>): void {
    this.#lost.set(receiverId, new Set([...(this.#lost.get(receiverId) ?? []), ...names]));
  }

  #report(receiverId: string, missing: ReadonlySet<string>): void {
    this.#noteLost(receiverId, missing);
    this.#feed.reportMissing(
      receiverId,
      [...missing].map((name) => Buffer.from(name.slice('packs/'.length, -'.pgp'.length), 'hex')),
    );
  }
}
