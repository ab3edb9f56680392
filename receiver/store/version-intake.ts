import type { KeyObject } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { versionName, versionSignatureName } from '../../shared/sealing/object-name.ts';
import { unknownAgentKey } from './agent-key.ts';
import type { SealedRecord } from './sealed-record.ts';
import { isRefusal, VersionChain, type AcceptedVersion } from './version-chain.ts';
import { versionKey, type VersionIndex } from './version-index.ts';

/** A version record that was not taken: nothing else has changed because of it. */
export type RefusedVersion = { path: RelativePath; error: CodedError };

/** `halves`: what is to be stored, of versions that are whole now and of those that wait for their other half. */
export type TakenVersions = {
  halves: readonly SealedRecord[];
  accepted: readonly AcceptedVersion[];
  refused: readonly RefusedVersion[];
};

type Deps = {
  versions: VersionIndex;
  folderId: string;
  /** The agent's public key; null as long as it is not known. */
  agentKey: () => KeyObject | null;
  /** Bytes that arrived and are not committed yet. */
  readStaged: (hash: Buffer) => Buffer | null;
  readHeld: (path: RelativePath) => Buffer | null;
  /** Whether exactly this is held at the path. */
  holds: (path: RelativePath, state: FileState) => boolean;
};

/** Decides which records and signatures of a batch are taken. Stores nothing. */
export class VersionIntake {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * Of versions that are whole with this batch, those that pass are taken; of the others each half, until the other one
   * comes. `receivedAt`: ms by the receiver's clock.
   * @throws CodedError INTERNAL (the agent's key is not known), of the disk
   */
  take(records: readonly SealedRecord[], receivedAt: number): TakenVersions {
    const brought = Map.groupBy(
      records.filter(({ name, state }) => name.kind !== 'pack' && state !== null),
      ({ name }) => (name.kind === 'pack' ? '' : versionKey(name)),
    );
    if (brought.size === 0) return { halves: [], accepted: [], refused: [] };
    const key = this.#deps.agentKey();
    if (key === null) throw unknownAgentKey();
    const chain = new VersionChain(this.#deps.versions, { keyFor: () => key, folder: this.#deps.folderId });
    const halves: SealedRecord[] = [];
    const refused: RefusedVersion[] = [];
    for (const [, group] of [...brought].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      try {
        if (this.#take(group, chain, receivedAt)) halves.push(...group);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        const path = group[0]?.record.path;
        if (path !== undefined) refused.push({ path, error });
      }
    }
    return { halves, accepted: chain.accepted, refused };
  }

  /** Whether the halves are to be stored. @throws CodedError those of VersionChain */
  #take(group: readonly SealedRecord[], chain: VersionChain, receivedAt: number): boolean {
    const name = group[0]?.name;
    if (name === undefined || name.kind === 'pack') return false;
    const { number, epoch } = name;
    const { versions, holds, readHeld, readStaged } = this.#deps;
    if (versions.get(number, epoch) !== null) {
      const differing = group.find(({ record, state }) => state !== null && !holds(record.path, state));
      if (differing === undefined) return false;
      throw new CodedError(
        'PROTOCOL_VIOLATION',
        `version ${number} of epoch ${epoch} is announced again with another ${differing.name.kind}`,
        { hint: 'the version that is held stays as it is' },
      );
    }
    const [json, signature] = (['version', 'signature'] as const).map((kind) => {
      const half = group.find((record) => record.name.kind === kind);
      const path = (kind === 'version' ? versionName(name) : versionSignatureName(name)) as RelativePath;
      return half?.state == null ? readHeld(path) : (readStaged(half.state.hash) ?? readHeld(path));
    });
    if (json == null || signature == null) return true;
    chain.accept({ number, epoch, json, signature }, receivedAt);
    return true;
  }
}
