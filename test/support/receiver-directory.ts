import { createHash, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { deviceIdOfKey, type DeviceId } from '../../shared/identity/device-id.ts';
import type { RelativePath } from '../../shared/records/relative-path.ts';
import { appendExtent, type Extent } from '../../shared/sealing/extents.ts';
import type { ManifestEntry, ManifestFile } from '../../shared/sealing/manifest-entry.ts';
import { ManifestWriter } from '../../shared/sealing/manifest-writer.ts';
import { packName, versionName, versionSignatureName } from '../../shared/sealing/object-name.ts';
import { sealRootMessage } from '../../shared/sealing/root-message.ts';
import type { SealedPack } from '../../shared/sealing/sealed-pack.ts';
import { sealPack, type Sealer } from '../../shared/sealing/sealer.ts';
import { recordHash, signRecord } from '../../shared/sealing/signed-record.ts';
import { encodeVersionRecord, type VersionRecord } from '../../shared/sealing/version-record.ts';

export type TreeEntry =
  | { type: 'file'; path: string; mode: number; content: Buffer }
  | { type: 'directory'; path: string; mode: number }
  | { type: 'symlink'; path: string; target: string };

type Where = { pack: string; offset: number };

const keyOf = (block: Buffer): string => createHash('sha256').update(block).digest('base64');

/**
 * A receiver's data directory made by the formats alone: every version cuts its files into fixed blocks and refers to
 * those that an earlier version sealed. Paths are byte strings.
 */
export class ReceiverDirectory {
  readonly agent: DeviceId;
  readonly folderDirectory: string;
  /** What its versions say that they were made from. */
  source: 'paths' | 'postgres' = 'paths';
  /** What root messages tell from now on that is not what their records tell. */
  rootTells: Partial<Record<'epoch' | 'createdAt' | 'sha256', string> & { number: number }> = {};
  /** What manifests tell of files from now on, whatever is true. */
  fileTells: Partial<Pick<ManifestFile, 'path' | 'hash' | 'uid' | 'gid'>> = {};
  /** Of the versions that are added from now on. */
  epoch = '00000000000000ab';
  readonly #options: { folder: string; sealer: Sealer; blockBytes: number; packBytes: number };
  readonly #key: KeyObject;
  readonly #known = new Map<string, Where>();
  readonly #sizes = new Map<string, number>();
  #number = 0;
  #previous: string | null = null;

  constructor(
    data: string,
    options: { folder: string; sealer: Sealer; blockBytes: number; packBytes: number; deviceKey?: KeyObject },
  ) {
    this.#options = options;
    this.#key = options.deviceKey ?? generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
    const publicKey = createPublicKey(this.#key);
    this.agent = deviceIdOfKey(publicKey.export({ type: 'spki', format: 'der' }));
    this.folderDirectory = path.join(data, this.agent, options.folder);
    for (const name of ['packs', 'versions']) {
      fs.mkdirSync(path.join(this.folderDirectory, name), { recursive: true });
    }
    const pem = publicKey.export({ type: 'spki', format: 'pem' });
    fs.writeFileSync(path.join(data, this.agent, 'agent.pem'), pem);
  }

  /** Seals and signs one more version; gives its name without directory and extension. */
  async addVersion(tree: readonly TreeEntry[], createdAt: string): Promise<string> {
    const { folder, sealer } = this.#options;
    this.#number += 1;
    const used = new Map<string, number>();
    const writer = new ManifestWriter({ folder, createdAt });
    const pieces = [writer.begin()];
    const mtimeNs = BigInt(Date.parse(createdAt)) * 1_000_000n + 123_456_000n;
    for (const entry of tree) {
      const common = { path: entry.path as RelativePath, uid: 0, gid: 0, mtimeNs };
      const made = await this.#entry(entry, common, used);
      pieces.push(writer.entry(made.type === 'file' ? { ...made, ...this.fileTells } : made));
    }
    const manifest = Buffer.concat(pieces);
    const extents = await this.#store(manifest, used);
    const { sha256 = createHash('sha256').update(manifest).digest('hex'), ...told } = this.rootTells;
    const identity = { folder, epoch: this.epoch, number: this.#number, createdAt };
    const root = await sealRootMessage(
      {
        ...identity,
        ...told,
        source: { kind: this.source },
        manifest: { size: manifest.length, sha256, extents },
      },
      sealer,
    );
    this.#writePack(root);
    used.set(root.hash.toString('hex'), root.bytes.length);
    return this.#sign({
      ...identity,
      agent: this.agent,
      previous: this.#previous,
      root: root.hash.toString('hex'),
      packs: [...used],
      recipients: [...sealer.recipientKeyIds],
    });
  }

  #sign(record: VersionRecord): string {
    const bytes = encodeVersionRecord(record);
    this.#previous = recordHash(bytes);
    fs.writeFileSync(path.join(this.folderDirectory, versionName(record)), bytes);
    const signature = signRecord(bytes, this.#key);
    fs.writeFileSync(path.join(this.folderDirectory, versionSignatureName(record)), signature);
    return path.basename(versionName(record), '.json');
  }

  async #entry(
    entry: TreeEntry,
    common: Pick<ManifestEntry, 'path' | 'uid' | 'gid' | 'mtimeNs'>,
    used: Map<string, number>,
  ): Promise<ManifestEntry> {
    if (entry.type === 'symlink') {
      return { ...common, type: 'symlink', target: Buffer.from(entry.target, 'latin1') };
    }
    if (entry.type === 'directory') return { ...common, type: 'directory', mode: entry.mode };
    const { content, mode } = entry;
    const hash = createHash('sha256').update(content).digest();
    const extents = await this.#store(content, used);
    return { ...common, type: 'file', mode, size: content.length, hash, extents };
  }

  async #store(content: Buffer, used: Map<string, number>): Promise<Extent<string>[]> {
    const { blockBytes, packBytes } = this.#options;
    const blocks: Buffer[] = [];
    for (let at = 0; at < content.length; at += blockBytes)
      blocks.push(content.subarray(at, at + blockBytes));
    await this.#sealUnknown(blocks, packBytes);
    const extents: Extent<string>[] = [];
    for (const block of blocks) {
      const where = this.#known.get(keyOf(block));
      if (where === undefined) throw new Error('a block was not sealed');
      appendExtent(extents, { ...where, length: block.length });
      used.set(where.pack, this.#sizes.get(where.pack) ?? 0);
    }
    return extents;
  }

  async #sealUnknown(blocks: readonly Buffer[], packBytes: number): Promise<void> {
    let open: Buffer[] = [];
    let openBytes = 0;
    const close = async (): Promise<void> => {
      if (openBytes === 0) return;
      const pack = await sealPack(Buffer.concat(open), this.#options.sealer);
      const name = this.#writePack(pack);
      let offset = 0;
      for (const block of open) {
        this.#known.set(keyOf(block), { pack: name, offset });
        offset += block.length;
      }
      open = [];
      openBytes = 0;
    };
    const fresh = new Map(blocks.map((block) => [keyOf(block), block]));
    for (const [key, block] of fresh) {
      if (this.#known.has(key)) continue;
      if (openBytes + block.length > packBytes) await close();
      open.push(block);
      openBytes += block.length;
    }
    await close();
  }

  #writePack({ hash, bytes }: SealedPack): string {
    fs.writeFileSync(path.join(this.folderDirectory, packName(hash)), bytes);
    this.#sizes.set(hash.toString('hex'), bytes.length);
    return hash.toString('hex');
  }
}
