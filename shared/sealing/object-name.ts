/** Names of the objects in a sealed folder, relative to it; see docs/sealed-format.md#names. */
const packPattern = /^packs\/([0-9a-f]{64})\.pgp$/;
const versionPattern = /^versions\/(\d{10})-([0-9a-f]{16})\.json(\.sig)?$/;

/** `packs/<SHA-256 of the message's bytes>.pgp`. `hash`: 32 bytes, or their 64 hexadecimal digits. */
export function packName(hash: Uint8Array | string): string {
  return `packs/${typeof hash === 'string' ? hash : Buffer.from(hash).toString('hex')}.pgp`;
}

/** `versions/<number, ten digits>-<epoch>.json`. */
export function versionName(version: { number: number; epoch: string }): string {
  return `versions/${String(version.number).padStart(10, '0')}-${version.epoch}.json`;
}

/** The name of the detached signature of that version record. */
export function versionSignatureName(version: { number: number; epoch: string }): string {
  return `${versionName(version)}.sig`;
}

export type SealedObjectName =
  | { kind: 'pack'; hash: Buffer }
  | { kind: 'version'; number: number; epoch: string }
  | { kind: 'signature'; number: number; epoch: string };

/** What a path in a sealed folder names, or null where it is no such name. */
export function parseSealedObjectName(path: string): SealedObjectName | null {
  const pack = packPattern.exec(path);
  if (pack !== null) return { kind: 'pack', hash: Buffer.from(pack[1] ?? '', 'hex') };
  const version = versionPattern.exec(path);
  if (version === null) return null;
  const kind = version[3] === undefined ? 'version' : 'signature';
  return { kind, number: Number(version[1]), epoch: version[2] ?? '' };
}
