import { hash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { AgentQuota } from '../../receiver/store/agent-quota.ts';
import type { MirrorStore } from '../../receiver/store/mirror-store.ts';
import {
  openMirrorStore,
  type MirrorStoreDeps,
  type MirrorStoreOptions,
} from '../../receiver/store/open-mirror-store.ts';
import { silentLogger } from '../../shared/io/logger.ts';
import { nodeDisk } from '../../shared/io/node-disk.ts';
import type { FileRecord, FileState, PathState } from '../../shared/records/file-record.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import { ifThere } from './if-there.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export const indexA = Buffer.from('aaaaaaaaaaaaaaaa', 'hex');
export const indexB = Buffer.from('bbbbbbbbbbbbbbbb', 'hex');

export function sha256(content: Uint8Array | string): Buffer {
  return hash('sha256', content, 'buffer');
}

export function fileState(content: Uint8Array | string, mtimeNs = 1_700_000_000_123_456_789n): FileState {
  const size = Buffer.byteLength(content);
  return { kind: 'file', size, mtimeNs, mode: 0o644, uid: 991, gid: 991, hash: sha256(content) };
}

export function symlinkState(target: string): PathState {
  return { kind: 'symlink', target: Buffer.from(target), mtimeNs: 5n, uid: 0, gid: 0 };
}

/** Everything a store needs, in its own directory; `store.reopen()` is what a restart does. */
export function storeFixture(
  directory = temporaryDirectory(),
  deps: Partial<MirrorStoreDeps> = {},
  options: Partial<MirrorStoreOptions> = {},
): { open: () => Promise<MirrorStore>; root: string; databasePath: string } {
  const root = path.join(directory, 'data', 'agent', 'media');
  const databasePath = path.join(directory, 'media.db');
  return {
    root,
    databasePath,
    open: () =>
      openMirrorStore(
        {
          disk: nodeDisk,
          logger: silentLogger,
          quota: new AgentQuota({ bytesMax: null, sealedReserve: 0 }),
          now: Date.now,
          copiesElsewhere: null,
          ...deps,
        },
        {
          directory: root,
          databasePath,
          agentId: 'agent',
          folderId: 'media',
          retention: { kind: 'simple', keep: 6, cleanoutDays: 0, floorDays: 7 },
          freeSpaceFloor: 0,
          partialDaysMax: 7,
          ...options,
        },
      ),
  };
}

/** What an agent would announce and send, with its own count of sequences. */
export class FeedFake {
  indexId: Buffer;
  sequence = 0;
  readonly #store: () => MirrorStore;

  constructor(store: () => MirrorStore, indexId = indexA) {
    this.#store = store;
    this.indexId = indexId;
  }

  /** A new index begins; sequences start again. */
  renew(indexId: Buffer): void {
    this.indexId = indexId;
    this.sequence = 0;
  }

  /** Commits files by content (string), states, or deletions (null), as a receiver does: need, stage, commit. */
  async send(
    changes: Record<string, string | Buffer | PathState | null>,
    missing: string[] = [],
  ): Promise<void> {
    const store = this.#store();
    const records: FileRecord[] = [];
    for (const [name, change] of Object.entries(changes)) {
      this.sequence += 1;
      const isContent = typeof change === 'string' || Buffer.isBuffer(change);
      const state: PathState = change === null ? { kind: 'deleted' } : isContent ? fileState(change) : change;
      const record: FileRecord = {
        path: parseTypedPath(name),
        sequence: this.sequence,
        replaces: null,
        state,
      };
      records.push(record);
      const need = store.need(record);
      if (need === 'nothing' || state.kind !== 'file') continue;
      if (need === 'held' && (await store.stageHeld(state.hash, state.size))) continue;
      if (!isContent) throw new Error(`content of ${name} would have to be fetched`);
      store.stage(state.hash, Buffer.from(change));
    }
    const gone = missing.map((name): FileRecord => {
      this.sequence += 1;
      return {
        path: parseTypedPath(name),
        sequence: this.sequence,
        replaces: null,
        state: fileState('gone'),
      };
    });
    await store.commit({
      ...this.position(),
      records,
      missing: gone,
      through: this.sequence,
      isHead: true,
    });
  }

  complete(): Promise<{ deletedFiles: number }> {
    return this.#store().completeIndex(this.position());
  }

  position(): { indexId: Buffer; sequence: number; token: Buffer } {
    return { indexId: this.indexId, sequence: this.sequence, token: sha256(`${this.sequence}`) };
  }
}

/** Every file below the directory: name (latin1) → content. A program may be at work there: what goes is passed over. */
export function readTree(directory: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const walk = (place: Buffer, prefix: string): void => {
    for (const entry of fs.readdirSync(place, { withFileTypes: true, encoding: 'buffer' })) {
      const name = prefix + entry.name.toString('latin1');
      const below = Buffer.concat([place, Buffer.from('/'), entry.name]);
      if (entry.isDirectory()) ifThere(() => walk(below, `${name}/`));
      else if (entry.isFile()) {
        const content = ifThere(() => fs.readFileSync(below));
        if (content !== null) files.set(name, content);
      } else files.set(name, Buffer.from('not a file'));
    }
  };
  walk(Buffer.from(directory), '');
  return files;
}
