import { hash as digest } from 'node:crypto';
import type { FileState } from '../../shared/records/file-record.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { SignerKey } from './agent-keys.ts';
import type { HeldCopy } from './readable-content.ts';

/** The public keys of the agent as objects of a sealed folder, which a restore reads like the others: named as their files are. */
export class AgentKeyObjects {
  readonly #signers: () => readonly SignerKey[];

  constructor({ signers }: { signers: () => readonly SignerKey[] }) {
    this.#signers = signers;
  }

  /** In byte order of the paths, which is before all others of a sealed folder; none as long as no key is known. */
  entries(): { path: RelativePath; state: FileState }[] {
    const entries = this.#signers().map((signer) => {
      const pem = pemOf(signer);
      const common = { size: pem.length, mtimeNs: 0n, mode: 0o644, uid: 0, gid: 0 };
      const state: FileState = { kind: 'file', hash: digest('sha256', pem, 'buffer'), ...common };
      return { path: signer.name as RelativePath, state };
    });
    return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** The key that has that hash, if one has. */
  copies(hash: Buffer): HeldCopy[] {
    return this.#signers()
      .map(pemOf)
      .filter((pem) => digest('sha256', pem, 'buffer').equals(hash))
      .map((pem) => {
        const read = (offset: number, length: number): Buffer => pem.subarray(offset, offset + length);
        return () => ({ size: pem.length, read, close: () => {} });
      });
  }
}

function pemOf({ key }: SignerKey): Buffer {
  return Buffer.from(key.export({ type: 'spki', format: 'pem' }));
}
