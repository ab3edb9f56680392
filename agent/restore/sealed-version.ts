import { createPublicKey, type KeyObject } from 'node:crypto';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { deviceIdOfKey, type DeviceId } from '../../shared/identity/device-id.ts';
import {
  parseSealedObjectName,
  versionName,
  versionSignatureName,
} from '../../shared/sealing/object-name.ts';
import { recordHash } from '../../shared/sealing/signed-record.ts';
import {
  parseVersionRecord,
  verifyVersionRecord,
  type VersionRecord,
} from '../../shared/sealing/version-record.ts';
import type { SealedObjects } from './sealed-objects.ts';

/**
 * A version that is held, its record verified. `receivedAt`: when record and signature were there, ms by the receiver's
 * clock. `lacking`: packs that it needs and the receiver does not hold.
 */
export type FoundVersion = { record: VersionRecord; receivedAt: number; lacking: number };

/**
 * Who signed the folder's versions: several where a rebuilt server goes on with the data of another. `expected`: the one
 * that the user named, whose versions alone count then; null: whichever record names one of them counts.
 */
export type Signers = { keys: ReadonlyMap<DeviceId, KeyObject>; expected: DeviceId | null };

/** A few rebuilt servers. */
const signersMax = 32;

/**
 * The keys that the folder's records are to be verified with: those that the receiver has of the agent.
 * @throws CodedError RECORD_FORGED (none is the key of the agent that was named), CONTENT_GONE (it has none)
 */
export async function findSigners(objects: SealedObjects, expected: DeviceId | null): Promise<Signers> {
  const keys = new Map<DeviceId, KeyObject>();
  const names = [...objects.names()].filter((name) => /^agent-[^/]*\.pem$/.test(name));
  for (const name of ['agent.pem', ...names.slice(0, signersMax)]) {
    const key = publicKeyOf(await objects.read(name));
    keys.set(deviceIdOfKey(key.export({ type: 'spki', format: 'der' })), key);
  }
  if (expected !== null && !keys.has(expected)) {
    throw new CodedError(
      'RECORD_FORGED',
      `the versions are signed by ${[...keys.keys()].join(', ')}, not by ${expected}`,
      { hint: 'compare the device ID with the recovery sheet; another receiver may have the real ones' },
    );
  }
  return { keys, expected };
}

function publicKeyOf(pem: Buffer): KeyObject {
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw new CodedError('RECORD_FORGED', 'what the receiver has as the public key of the agent is none', {
      cause,
    });
  }
}

/** Of one epoch: where so many versions lack packs, others will as well. */
const recordsReadMax = 100;

/**
 * The newest version of each epoch that is complete, and the newer ones of it that are not, each newest first as
 * `isNewer` has it; `passedOver`: those of another signer than the expected one. A record that is not what it claims is an error: to pass over it would hide what happened.
 * @throws CodedError RECORD_FORGED, RECORD_INVALID, CONTENT_GONE
 */
export async function findVersions(
  objects: SealedObjects,
  folder: string,
  signers: Signers,
): Promise<{ newest: FoundVersion[]; incomplete: FoundVersion[]; passedOver: FoundVersion[] }> {
  const newest: FoundVersion[] = [];
  const incomplete: FoundVersion[] = [];
  const passedOver: FoundVersion[] = [];
  for (const [epoch, held] of newestNumbers(objects)) {
    for (const number of held) {
      const found = await readVersion(objects, { folder, epoch, number }, signers);
      if (isOfAnother(found, signers)) {
        passedOver.push(found);
        continue;
      }
      if (found.lacking === 0) {
        newest.push(found);
        break;
      }
      incomplete.push(found);
    }
  }
  const [sorted, lacking, others] = [newest, incomplete, passedOver].map((found) => found.sort(newestFirst));
  return { newest: sorted ?? [], incomplete: lacking ?? [], passedOver: others ?? [] };
}

/**
 * Exactly that version, its record verified. `record`: the SHA-256 that its record must have, in hexadecimal.
 * @throws CodedError RECORD_FORGED (it is another one), RECORD_INVALID, CONTENT_GONE (it is not held)
 */
export async function findVersion(
  objects: SealedObjects,
  { record: hash, ...wanted }: { folder: string; epoch: string; number: number; record: string },
  signers: Signers,
): Promise<FoundVersion> {
  const found = await readVersion(objects, wanted, signers);
  if (isOfAnother(found, signers)) {
    throw new CodedError(
      'RECORD_FORGED',
      `version ${wanted.number} of folder ${wanted.folder} is signed by ${found.record.agent}, not by ${signers.expected}`,
      { hint: 'where that is the server before or behind it, name that one by --agent' },
    );
  }
  const held = recordHash(await objects.read(versionName(wanted)));
  if (held === hash) return found;
  throw new CodedError(
    'RECORD_FORGED',
    `version ${wanted.number} of folder ${wanted.folder} is not the one that the restore point names`,
  );
}

/** The versions that are held, at most a hundred of each epoch, newest first. @throws CodedError as `findVersions` */
export async function listVersions(
  objects: SealedObjects,
  folder: string,
  signers: Signers,
): Promise<FoundVersion[]> {
  const versions: FoundVersion[] = [];
  for (const [epoch, held] of newestNumbers(objects)) {
    for (const number of held) {
      const found = await readVersion(objects, { folder, epoch, number }, signers);
      if (!isOfAnother(found, signers)) versions.push(found);
    }
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

function isOfAnother({ record }: FoundVersion, { expected }: Signers): boolean {
  return expected !== null && record.agent !== expected;
}

/** The key of the device that the record names, or any other, which finds it forged. */
function keyFor(json: Buffer, keys: ReadonlyMap<DeviceId, KeyObject>): KeyObject {
  const key = keys.get(parseVersionRecord(json).agent) ?? keys.values().next().value;
  if (key === undefined) throw new Error('a record was read before any key was found');
  return key;
}

async function readVersion(
  objects: SealedObjects,
  version: { folder: string; epoch: string; number: number },
  { keys }: Signers,
): Promise<FoundVersion> {
  const names = [versionName(version), versionSignatureName(version)] as const;
  const [json, signature] = [await objects.read(names[0]), await objects.read(names[1])];
  const record = verifyVersionRecord(json, signature, keyFor(json, keys), version);
  if (record.number !== version.number || record.epoch !== version.epoch) {
    throw new CodedError(
      'RECORD_FORGED',
      `what is held as version ${version.number} of epoch ${version.epoch} is version ${record.number} of epoch ${record.epoch}`,
    );
  }
  const receivedAt = Math.max(...names.map((name) => objects.receivedAt(name)));
  return { record, receivedAt, lacking: record.packs.filter(([hash]) => !objects.hasPack(hash)).length };
}
