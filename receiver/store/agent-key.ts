import { createPublicKey, type KeyObject } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { deviceIdOfKey, type DeviceId } from '../../shared/identity/device-id.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';

/**
 * The public key of an agent, as a file: what its version records are verified with, here and by
 * whoever restores by hand. A file that is not the key of that agent counts as none.
 */
export class AgentKey {
  readonly #agentId: DeviceId;
  readonly #directory: string;
  readonly #fileName: string;
  #key: KeyObject | null = null;

  constructor(
    agentId: DeviceId,
    { directory, fileName = 'agent.pem' }: { directory: string; fileName?: string },
  ) {
    this.#agentId = agentId;
    this.#directory = directory;
    this.#fileName = fileName;
  }

  /** Durable when it returns. A key that is not the agent's is ignored. `publicKey`: SPKI DER. */
  learn(publicKey: Buffer): void {
    if (deviceIdOfKey(publicKey) !== this.#agentId || this.read() !== null) return;
    const key = createPublicKey({ key: publicKey, format: 'der', type: 'spki' });
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o750 });
    writeFileAtomic(this.#file, key.export({ type: 'spki', format: 'pem' }), 0o640);
    this.#key = key;
  }

  /** Writes the file again where it is damaged or gone though the key is known. True: it was. Durable when it returns. */
  mend(): boolean {
    if (this.#key === null || this.#readFile() !== null) return false;
    writeFileAtomic(this.#file, this.#key.export({ type: 'spki', format: 'pem' }), 0o640);
    return true;
  }

  /** Null as long as it is not known. */
  read(): KeyObject | null {
    this.#key ??= this.#readFile();
    return this.#key;
  }

  get #file(): string {
    return path.join(this.#directory, this.#fileName);
  }

  #readFile(): KeyObject | null {
    try {
      const key = createPublicKey(fs.readFileSync(this.#file));
      return deviceIdOfKey(key.export({ type: 'spki', format: 'der' })) === this.#agentId ? key : null;
    } catch {
      return null;
    }
  }
}
