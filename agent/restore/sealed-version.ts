import { createPublicKey, type KeyObject } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { deviceIdOfKey, type DeviceId } from '../../shared/identity/device-id.ts';
import {
  parseSealedObjectName,
  versionName,
  versionSignatureName,
} from '../../shared/sealing/object-name.ts';
import { verifyVersionRecord, type VersionRecord } from '../../shared/sealing/version-record.ts';
import type { SealedObjects } from './sealed-objects.ts';

/**
 * A version that is held, its record verified. `receivedAt`: when record and signature were there, ms by the receiver's
 * clock. `lacking`: packs that it needs and the receiver does not hold.
 */
export type FoundVersion = { record: VersionRecord; receivedAt: number; lacking: number };

/** Who signed the folder's versions; `verified`: it is the agent that the user named. */
export type Signer = { key: KeyObject; deviceId: DeviceId; verified: boolean };

/**
 * The key that the folder's records are to be verified with: the one that the receiver has of the agent.
 * @throws CodedError RECORD_FORGED (it is not the key of the agent that was named), CONTENT_GONE (it has none)
 */
export async function findSigner(objects: SealedObjects, expected: DeviceId | null): Promise<Signer> {
  const pem = await objects.read('agent.pem');
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw new CodedError('RECORD_FORGED', 'what the receiver has as the public key of the agent is none', {
      cause,
    });
  }
  const deviceId = deviceIdOfKey(key.export({ type: 'spki', format: 'der' }));
  if (expected !== null && deviceId !== expected) {
    throw new CodedError('RECORD_FORGED', `the versions are signed by ${deviceId}, not by ${expected}`, {
      hint: 'compare the device ID with the recovery sheet; another receiver may have the real ones',
    });
  }
  return { key, deviceId, verified: expected !== null };
}

/** Of one epoch: where so many versions lack packs, others will as well. */
const recordsReadMax = 100;

/**
 * The newest version of each epoch that is complete, and the newer ones of it that are not, each newest first as
 * `isNewer` has it. A record that is not what it claims is an error: to pass over it would hide what happened.
 * @throws CodedError RECORD_FORGED, RECORD_INVALID, CONTENT_GONE
 */
export async function findVersions(
  objects: SealedObjects,
  folder: string,
  signer: Signer,
): Promise<{ newest: FoundVersion[]; incomplete: FoundVersion[] }> {
  const newest: FoundVersion[] = [];
  const incomplete: FoundVersion[] = [];
  for (const [epoch, held] of newestNumbers(objects)) {
    for (const number of held) {
      const found = await readVersion(objects, { folder, epoch, number }, signer);
      if (found.lacking === 0) {
        newest.push(found);
        break;
      }
      incomplete.push(found);
    }
  }
  return { newest: newest.sort(newestFirst), incomplete: incomplete.sort(newestFirst) };
}

/** The versions that are held, at most a hundred of each epoch, newest first. @throws CodedError as `findVersions` */
export async function listVersions(
  objects: SealedObjects,
  folder: string,
  signer: Signer,
): Promise<FoundVersion[]> {
  const versions: FoundVersion[] = [];
  for (const [epoch, held] of newestNumbers(objects)) {
    for (const number of held) versions.push(await readVersion(objects, { folder, epoch, number }, signer));
  }
  return versions.sort(newestFirst);
}

/** By epoch, falling. */
function newestNumbers(objects: SealedObjects): Map<string, number[]> {
  const numbers = new Map<string, number[]>();
  for (const name of objects.names()) {
    const parsed = parseSealedObjectName(name);
    if (parsed?.kind !== 'version' || !objects.has(versionSignatureName(parsed))) continue;
    numbers.set(parsed.epoch, [...(numbers.get(parsed.epoch) ?? []), parsed.number]);
  }
  for (const [epoch, held] of numbers) {
    numbers.set(epoch, held.sort((a, b) => b - a).slice(0, recordsReadMax));
  }
  return numbers;
}

/**
 * Whether `a` is the newer one: by the receiver's own order of receipt, and where both came at once by their numbers,
 * which go on over epochs. The time that a record tells is the clock of a server that may be wrong or in wrong hands: it
 * decides nothing.
 */
export function isNewer(a: FoundVersion, b: FoundVersion): boolean {
  return newestFirst(a, b) < 0;
}

function newestFirst(a: FoundVersion, b: FoundVersion): number {
  return b.receivedAt - a.receivedAt || b.record.number - a.record.number;
}

async function readVersion(
  objects: SealedObjects,
  version: { folder: string; epoch: string; number: number },
  { key }: Signer,
): Promise<FoundVersion> {
  const names = [versionName(version), versionSignatureName(version)] as const;
  const [json, signature] = [await objects.read(names[0]), await objects.read(names[1])];
  const record = verifyVersionRecord(json, signature, key, version);
  if (record.number !== version.number || record.epoch !== version.epoch) {
    throw new CodedError(
      'RECORD_FORGED',
      `what is held as version ${version.number} of epoch ${version.epoch} is version ${record.number} of epoch ${record.epoch}`,
    );
  }
  const receivedAt = Math.max(...names.map((name) => objects.receivedAt(name)));
  return { record, receivedAt, lacking: record.packs.filter(([hash]) => !objects.hasPack(hash)).length };
}
