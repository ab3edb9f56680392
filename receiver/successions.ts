import fs from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { CodedError, isCoded, systemErrorCode } from '../shared/errors/coded-error.ts';
import { isDeviceId, type DeviceId } from '../shared/identity/device-id.ts';
import { writeFileAtomic } from '../shared/io/atomic-file.ts';

const fileName = 'succession.json';
/** Beside the copies, and in the home. */
const [copyMode, homeMode] = [0o640, 0o600];
const fileSchema = z.strictObject({
  format: z.literal('mastokeep-succession-1'),
  successors: z
    .array(
      z.strictObject({
        deviceId: z.custom<DeviceId>((value) => typeof value === 'string' && isDeviceId(value)),
        since: z.iso.datetime(),
      }),
    )
    .min(1),
});

type Successor = z.infer<typeof fileSchema>['successors'][number];

/**
 * Which devices go on with the data of which: `<data>/<home>/succession.json` names, beside the device that the directory
 * is named after (the *home*), those that came after it, the last of them the one that counts. Read from the disk each
 * time, as the disk may come and go; where the file is lost or damaged, what it said last counts, or a second copy of it.
 * @see docs/storage-format.md#succession
 */
export class Successions {
  readonly #directory: string;
  readonly #spareDirectory: string;
  /** What the files said last. */
  readonly #known = new Map<DeviceId, Successor[]>();

  /** `directory`: the data directory. `spareDirectory`: has a directory of each home as well, or none yet. */
  constructor({ directory, spareDirectory }: { directory: string; spareDirectory: string }) {
    this.#directory = directory;
    this.#spareDirectory = spareDirectory;
  }

  /**
   * The device in whose directory the data of this one are: itself, unless it goes on with those of another.
   * @throws CodedError HOME_INVALID: it has no directory of its own, and may be named in a file that is damaged
   */
  homeOf(deviceId: DeviceId): DeviceId {
    let damage: CodedError | null = null;
    for (const home of this.#homes()) {
      try {
        if (this.#read(home).some((successor) => successor.deviceId === deviceId)) return home;
      } catch (error) {
        if (!isCoded(error, 'HOME_INVALID')) throw error;
        damage = error;
      }
    }
    if (damage === null || fs.existsSync(path.join(this.#directory, deviceId))) return deviceId;
    throw damage;
  }

  /** All devices whose data lie in that directory, in their order; the last one is the one that goes on. @throws CodedError HOME_INVALID */
  devicesOf(home: DeviceId): DeviceId[] {
    return [home, ...this.#read(home).map(({ deviceId }) => deviceId)];
  }

  /** The device that goes on with the data in that directory. @throws CodedError HOME_INVALID */
  currentOf(home: DeviceId): DeviceId {
    return this.#read(home).at(-1)?.deviceId ?? home;
  }

  /** The device that goes on with the data of this one; null where that is itself. @throws CodedError HOME_INVALID */
  successorOf(deviceId: DeviceId): DeviceId | null {
    const current = this.currentOf(this.homeOf(deviceId));
    return current === deviceId ? null : current;
  }

  /**
   * From here on the device goes on with the data in that directory; in place of the last one where `replacesLast`. One
   * write, durable when it returns; the directory exists.
   * @throws CodedError DISK_FAILED, HOME_INVALID
   */
  add(
    home: DeviceId,
    deviceId: DeviceId,
    { since, replacesLast }: { since: number; replacesLast: boolean },
  ): void {
    const before = this.#read(home);
    const kept = replacesLast ? before.slice(0, -1) : before;
    const successors: Successor[] = [...kept, { deviceId, since: new Date(since).toISOString() }];
    try {
      this.#write(this.#file(home), successors, copyMode);
      this.#writeSpare(home, successors);
    } catch (cause) {
      const code = systemErrorCode(cause);
      if (code === null) throw cause;
      throw new CodedError('DISK_FAILED', `${this.#file(home)} cannot be written: ${code}`, { cause });
    }
    this.#known.set(home, successors);
  }

  /** Writes the file again where it was lost or damaged since it was read. True: it was. Durable when it returns. @throws a system error */
  mend(home: DeviceId): boolean {
    if (!fs.existsSync(path.join(this.#directory, home))) return false;
    const known = this.#read(home);
    if (known.length === 0) return false;
    const [main, spare] = [this.#file(home), this.#spareFile(home)];
    if (JSON.stringify(readIfWhole(spare)) !== JSON.stringify(known)) this.#writeSpare(home, known);
    if (readIfWhole(main) !== null) return false;
    this.#write(main, known, copyMode);
    return true;
  }

  #homes(): DeviceId[] {
    try {
      return fs.readdirSync(this.#directory).filter(isDeviceId);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return [];
      throw error;
    }
  }

  #read(home: DeviceId): Successor[] {
    const spare = (): Successor[] | null => this.#known.get(home) ?? readIfWhole(this.#spareFile(home));
    let found: Successor[] | null;
    try {
      found = readSuccessors(this.#file(home)) ?? spare();
    } catch (error) {
      found = isCoded(error, 'HOME_INVALID') ? spare() : null;
      if (found === null) throw error;
    }
    if (found === null) return [];
    this.#known.set(home, found);
    return found;
  }

  #writeSpare(home: DeviceId, successors: Successor[]): void {
    const file = this.#spareFile(home);
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o750 });
    this.#write(file, successors, homeMode);
  }

  #write(file: string, successors: Successor[], mode: number): void {
    writeFileAtomic(file, `${JSON.stringify({ format: 'mastokeep-succession-1', successors })}\n`, mode);
  }

  #file(home: DeviceId): string {
    return path.join(this.#directory, home, fileName);
  }

  #spareFile(home: DeviceId): string {
    return path.join(this.#spareDirectory, home, fileName);
  }
}

/** Null where there is none. @throws CodedError HOME_INVALID */
function readSuccessors(file: string): Successor[] | null {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === null) throw error;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw damaged(file, `cannot be read: ${code}`, error);
  }
  try {
    return fileSchema.parse(JSON.parse(text)).successors;
  } catch (cause) {
    throw damaged(file, 'cannot be understood', cause);
  }
}

function damaged(file: string, what: string, cause: unknown): CodedError {
  return new CodedError('HOME_INVALID', `${file} ${what}`, {
    hint: 'it says which device goes on with this data: put it back from a backup; or stop the receiver, move it away, say "succeed" again, and only then start the receiver',
    cause,
  });
}

/** The same, and null as well where it is damaged. */
function readIfWhole(file: string): Successor[] | null {
  try {
    return readSuccessors(file);
  } catch (error) {
    if (isCoded(error, 'HOME_INVALID')) return null;
    throw error;
  }
}
