import type { KeyObject } from 'node:crypto';
import { deviceIdOfKey, type DeviceId } from '../../shared/identity/device-id.ts';
import { AgentKey } from './agent-key.ts';

/** A public key that records may be signed with, and the name of its file. */
export type SignerKey = { deviceId: DeviceId; name: string; key: KeyObject };

type Options = {
  /** Absolute; named after the first of the devices. */
  directory: string;
  /** Where a second copy of each is kept: keys are small, and without them nobody can say what the records are worth. */
  spareDirectory: string;
  /** The devices whose data this is, in their order; the last one goes on with it. */
  devices: () => readonly DeviceId[];
};

/**
 * The public keys of the devices whose data lie in one directory: `agent.pem` of the first one, `agent-<device ID>.pem` of
 * each that came after it. New records have to be signed by the last one, and those that are held by whichever they name.
 */
export class AgentKeys {
  readonly #options: Options;
  readonly #keys = new Map<DeviceId, AgentKey>();

  constructor(options: Options) {
    this.#options = options;
  }

  /** Durable when it returns. The key of any other device is ignored. `publicKey`: SPKI DER. */
  learn(publicKey: Buffer): void {
    const deviceId = deviceIdOfKey(publicKey);
    if (this.#options.devices().includes(deviceId)) this.#of(deviceId).learn(publicKey);
  }

  /** The same of a device that is to go on with the data. */
  adopt(deviceId: DeviceId, publicKey: Buffer): void {
    this.#of(deviceId).learn(publicKey);
  }

  /** Writes the files again that are damaged or gone though the keys are known, and gives their names. Durable when it returns. */
  mend(): string[] {
    const devices = [...new Set(this.#options.devices())];
    return devices.filter((deviceId) => this.#of(deviceId).mend()).map((deviceId) => this.#nameOf(deviceId));
  }

  /** Of the device that goes on with the data; null as long as it is not known. */
  current(): KeyObject | null {
    const current = this.#options.devices().at(-1);
    return current === undefined ? null : this.#of(current).read();
  }

  /**
   * All of them, where those of all devices but the last are known (one that never came signed nothing); otherwise none,
   * because nobody can say then what the records that are held are worth.
   */
  signers(): SignerKey[] {
    const devices = [...new Set(this.#options.devices())];
    const current = this.#options.devices().at(-1);
    const signers: SignerKey[] = [];
    for (const deviceId of devices) {
      const key = this.#of(deviceId).read();
      if (key !== null) signers.push({ deviceId, name: this.#nameOf(deviceId), key });
      else if (deviceId !== current) return [];
    }
    return signers;
  }

  #of(deviceId: DeviceId): AgentKey {
    const known = this.#keys.get(deviceId);
    if (known !== undefined) return known;
    const { directory, spareDirectory } = this.#options;
    const key = new AgentKey(deviceId, { directory, spareDirectory, fileName: this.#nameOf(deviceId) });
    this.#keys.set(deviceId, key);
    return key;
  }

  #nameOf(deviceId: DeviceId): string {
    return deviceId === this.#options.devices()[0] ? 'agent.pem' : `agent-${deviceId}.pem`;
  }
}
