import { createPublicKey, type KeyObject } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { deviceIdOfKey, type DeviceId } from '../../shared/identity/device-id.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';

/** Who restores by hand reads what lies beside the copies; nobody else reads the home. */
const [copyMode, homeMode] = [0o640, 0o600];

/**
 * The public key of an agent, as a file: what its version records are verified with, here and by
 * whoever restores by hand. A file that is not the key of that agent counts as none; then the spare copy, if there is one.
 */
export class AgentKey {
  readonly #agentId: DeviceId;
  readonly #directory: string;
  readonly #fileName: string;
  readonly #spareDirectory: string | null;
  #key: KeyObject | null = null;

  constructor(
    agentId: DeviceId,
    {
      directory,
      fileName = 'agent.pem',
      spareDirectory = null,
    }: { directory: string; fileName?: string; spareDirectory?: string | null },
  ) {
    this.#agentId = agentId;
    this.#directory = directory;
    this.#fileName = fileName;
    this.#spareDirectory = spareDirectory;
  }

  /** Durable when it returns. A key that is not the agent's is ignored. `publicKey`: SPKI DER. */
  learn(publicKey: Buffer): void {
    if (deviceIdOfKey(publicKey) !== this.#agentId) return;
    if (this.read() === null) {
      this.#key = createPublicKey({ key: publicKey, format: 'der', type: 'spki' });
      this.#write(this.#directory, this.#key, copyMode);
    }
    // a known key is not written below the directory: its disk may be away
    if (this.#key !== null && this.#spareDirectory !== null)
      this.#write(this.#spareDirectory, this.#key, homeMode);
  }

  /** Writes the file again where it is damaged or gone though the key is known. True: it was. Durable when it returns. */
  mend(): boolean {
    const key = this.read();
    return key !== null && fs.existsSync(this.#directory) && this.#write(this.#directory, key, copyMode);
  }

  /** Null as long as it is not known. */
  read(): KeyObject | null {
    this.#key ??= this.#readIn(this.#directory);
    if (this.#spareDirectory !== null) this.#key ??= this.#readIn(this.#spareDirectory);
    return this.#key;
  }

  /** Where it is not there already, whole. */
  #write(directory: string, key: KeyObject, mode: number): boolean {
    if (this.#readIn(directory) !== null) return false;
    fs.mkdirSync(directory, { recursive: true, mode: 0o750 });
    const file = path.join(directory, this.#fileName);
    writeFileAtomic(file, key.export({ type: 'spki', format: 'pem' }), mode);
    return true;
  }

  #readIn(directory: string): KeyObject | null {
    try {
      const key = createPublicKey(fs.readFileSync(path.join(directory, this.#fileName)));
      return deviceIdOfKey(key.export({ type: 'spki', format: 'der' })) === this.#agentId ? key : null;
    } catch {
      return null;
    }
  }
}

/** Says that neither copy of it is here. */
export function unknownAgentKey(): CodedError {
  return new CodedError('COPY_DAMAGED', 'the public key of the agent (agent.pem) is damaged or missing', {
    hint: 'it comes again as soon as the agent connects; the file is the same on every receiver',
  });
}
