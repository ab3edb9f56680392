import { hash as digest, type KeyObject } from 'node:crypto';
import type { FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { HeldCopy } from './readable-content.ts';

/** Where a restore finds the agent's public key among the entries. */
export const agentKeyPath = 'agent.pem' as RelativePath;

/** The agent's public key as an object of a sealed folder, which a restore reads like the others. */
export class AgentKeyObject {
  readonly #agentKey: () => KeyObject | null;

  constructor({ agentKey }: { agentKey: () => KeyObject | null }) {
    this.#agentKey = agentKey;
  }

  /** Null as long as the key is not known. */
  state(): FileState | null {
    const pem = this.#pem();
    if (pem === null) return null;
    const common = { size: pem.length, mtimeNs: 0n, mode: 0o644, uid: 0, gid: 0 };
    return { kind: 'file', hash: digest('sha256', pem, 'buffer'), ...common };
  }

  /** The key where it is what has that hash. */
  copies(hash: Buffer): HeldCopy[] {
    const pem = this.#pem();
    if (pem === null || !digest('sha256', pem, 'buffer').equals(hash)) return [];
    const read = (offset: number, length: number): Buffer => pem.subarray(offset, offset + length);
    return [() => ({ size: pem.length, read, close: () => {} })];
  }

  #pem(): Buffer | null {
    const key = this.#agentKey();
    return key === null ? null : Buffer.from(key.export({ type: 'spki', format: 'pem' }));
  }
}
