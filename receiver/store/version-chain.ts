import type { KeyObject } from 'node:crypto';
import { CodedError, isCoded } from '../../shared/errors/coded-error.ts';
import type { ErrorCode } from '../../shared/errors/error-table.ts';
import { recordHash } from '../../shared/sealing/signed-record.ts';
import { verifyVersionRecord, type VersionRecord } from '../../shared/sealing/version-record.ts';
import type { HeldVersion, VersionIndex } from './version-index.ts';

/** A version but for what its packs take, which is known when they are held. */
type ChainedVersion = Omit<HeldVersion, 'bytes'>;

export type AcceptedVersion = { version: ChainedVersion; record: VersionRecord };

/** A version as its files show it: the number and epoch of its name, and both files' bytes. */
export type ShownVersion = { number: number; epoch: string; json: Buffer; signature: Buffer };

/** `keyFor`: the public key with which a record (its bytes) is to be verified. */
type Agent = { keyFor: (json: Buffer) => KeyObject; folder: string };

/**
 * The versions that are held and those that a batch adds to them, in the order of the calls. Within an epoch a record
 * names the one before it by its hash; where that is not held (the receiver was away, or is new), a higher number than
 * any that is held has to do, and a gap can only be filled by exactly the record that its successor names.
 */
export class VersionChain {
  readonly #held: Pick<VersionIndex, 'get' | 'latest'>;
  readonly #agent: Agent;
  readonly #accepted: AcceptedVersion[] = [];
  readonly #added = new Map<string, ChainedVersion>();
  readonly #latestAdded = new Map<string, ChainedVersion>();

  constructor(held: Pick<VersionIndex, 'get' | 'latest'>, agent: Agent) {
    this.#held = held;
    this.#agent = agent;
  }

  get accepted(): readonly AcceptedVersion[] {
    return this.#accepted;
  }

  /**
   * Takes a version that is not held.
   * @throws CodedError RECORD_FORGED, RECORD_INVALID, PROTOCOL_VIOLATION (it does not fit those that are held)
   */
  accept({ number, epoch, json, signature }: ShownVersion, receivedAt: number): void {
    const record = verifyVersionRecord(json, signature, this.#agent.keyFor(json), {
      folder: this.#agent.folder,
    });
    if (record.number !== number || record.epoch !== epoch) {
      const shown = `${number} of epoch ${epoch}`;
      throw unfit(`version ${record.number} of epoch ${record.epoch} is announced as ${shown}`);
    }
    const version: ChainedVersion = {
      number,
      epoch,
      hash: Buffer.from(recordHash(json), 'hex'),
      previous: record.previous === null ? null : Buffer.from(record.previous, 'hex'),
      createdAt: Date.parse(record.createdAt),
      receivedAt,
      packs: record.packs.length,
      recipients: record.recipients,
    };
    this.#assertFits(version);
    this.#accepted.push({ version, record });
    this.#added.set(`${epoch}-${number}`, version);
    if (number > (this.#latestAdded.get(epoch)?.number ?? 0)) this.#latestAdded.set(epoch, version);
  }

  #assertFits(version: ChainedVersion): void {
    const { number, epoch } = version;
    if (this.#get(number, epoch) !== null) throw unfit(`version ${number} of epoch ${epoch} is held already`);
    const before = this.#get(number - 1, epoch);
    if (before !== null && version.previous?.equals(before.hash) !== true) {
      throw unfit(`version ${number} of epoch ${epoch} does not follow the held version ${number - 1}`);
    }
    const latest = this.#latest(epoch);
    if (latest === null || number > latest.number) return;
    if (this.#get(number + 1, epoch)?.previous?.equals(version.hash) === true) return;
    throw unfit(
      `version ${number} of epoch ${epoch} comes after version ${latest.number}, which does not need it`,
    );
  }

  #get(number: number, epoch: string): ChainedVersion | null {
    return this.#added.get(`${epoch}-${number}`) ?? this.#held.get(number, epoch);
  }

  #latest(epoch: string): ChainedVersion | null {
    const [held, added] = [this.#held.latest(epoch), this.#latestAdded.get(epoch) ?? null];
    if (held === null || added === null) return held ?? added;
    return held.number > added.number ? held : added;
  }
}

/** Whether an error says that a version is not what it claims, and nothing about this receiver. */
export function isRefusal(error: unknown): error is CodedError {
  return ['RECORD_FORGED', 'RECORD_INVALID', 'PROTOCOL_VIOLATION'].some((code) =>
    isCoded(error, code as ErrorCode),
  );
}

function unfit(why: string): CodedError {
  return new CodedError('PROTOCOL_VIOLATION', `a version record is replayed or out of place: ${why}`);
}
