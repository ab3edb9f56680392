import { createHash } from 'node:crypto';
import fs from 'node:fs';
import type { RestoreFolder } from '../../receiver/serve/restore-history.ts';
import { type ChunkList, ChunkListBuilder } from '../../shared/chunking/chunk-list.ts';
import { fileChunking } from '../../shared/chunking/chunking-parameters.ts';
import type { DirectoryState, FileState, SymlinkState } from '../../shared/records/file-record.ts';
import { fsPath, joinPath, type RelativePath, rootPath } from '../../shared/records/relative-path.ts';
import { ChunkMap } from '../../shared/transfer/chunk-map.ts';
import type { ContentSource } from '../../shared/transfer/content-source.ts';
import { readVerified } from '../../shared/transfer/verified-read.ts';

export type HistoryEntry = { path: RelativePath; state: FileState | SymlinkState | DirectoryState };

/** What a receiver would hold of one folder, in memory: states by moment, contents by hash. */
export class MemoryHistory {
  readonly contents = new Map<string, Buffer>();
  #moments: { at: number; entries: HistoryEntry[] }[] = [];
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  /** From this moment on the folder is in that state. */
  put(at: number, entries: readonly HistoryEntry[]): void {
    this.#moments.push({ at, entries: entries.toSorted((a, b) => (a.path < b.path ? -1 : 1)) });
  }

  /** From this moment on the folder is like the tree on disk; directories are recorded as an agent does it. */
  putTree(at: number, root: string): void {
    this.put(at, readTree(root, this.contents));
  }

  folder(): RestoreFolder {
    const latest = (): HistoryEntry[] => this.#moments.at(-1)?.entries ?? [];
    return {
      id: this.id,
      kind: 'mirror',
      usage: () => {
        const sizes = latest().flatMap(({ state }) => (state.kind === 'file' ? [state.size] : []));
        return { files: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
      },
      changedAt: () => this.#moments.at(-1)?.at ?? 0,
      entriesAt: ({ at, after, limit }) => {
        const state = this.#moments.findLast((moment) => at === null || moment.at <= at)?.entries ?? [];
        const later = state.filter(({ path }) => after === null || path > after);
        const entries = later.slice(0, limit);
        return { entries, next: later.length > limit ? (entries.at(-1)?.path ?? null) : null };
      },
      contentBetween: null,
    };
  }
}

/** The content of several histories, as one agent's stores hold it. */
export function contentOf(histories: readonly MemoryHistory[]): ContentSource {
  const lists = new Map<string, ChunkList>();
  return {
    open: async (_folder, _path, hash) => {
      const key = hash.toString('hex');
      const content = histories.map(({ contents }) => contents.get(key)).find((found) => found !== undefined);
      if (content === undefined) return 'vanished';
      const list = lists.get(key) ?? cut(content);
      lists.set(key, list);
      const described = { size: content.length, hash, chunkMap: new ChunkMap(list) };
      const readAt = async (at: number, into: Buffer): Promise<boolean> =>
        content.copy(into, 0, at) === into.length;
      return {
        size: content.length,
        read: async (offset, room) => (await readVerified(readAt, described, offset, room)) ?? 'changed',
        chunkList: async () => list,
        close: () => {},
      };
    },
  };
}

/** What an agent would record of the tree; contents go into `contents` by the hex of their hash. */
export function readTree(root: string, contents: Map<string, Buffer>): HistoryEntry[] {
  const entries: HistoryEntry[] = [];
  const walk = (path: RelativePath, parent: DirectoryState | null): void => {
    const stat = fs.lstatSync(fsPath(root, path), { bigint: true });
    const mode = Number(stat.mode & 0o7777n);
    const owner = { uid: Number(stat.uid), gid: Number(stat.gid) };
    if (stat.isDirectory()) {
      const state: DirectoryState = { kind: 'directory', mode, ...owner };
      const names = fs.readdirSync(fsPath(root, path), { encoding: 'latin1' as BufferEncoding });
      const differs = parent?.mode !== mode || parent.uid !== owner.uid || parent.gid !== owner.gid;
      if (differs || names.length === 0) entries.push({ path, state });
      for (const name of names) walk(joinPath(path, name), state);
    } else if (stat.isSymbolicLink()) {
      const target = fs.readlinkSync(fsPath(root, path), { encoding: 'buffer' });
      entries.push({ path, state: { kind: 'symlink', target, mtimeNs: stat.mtimeNs, ...owner } });
    } else if (stat.isFile()) {
      const content = fs.readFileSync(fsPath(root, path));
      const hash = createHash('sha256').update(content).digest();
      contents.set(hash.toString('hex'), content);
      entries.push({
        path,
        state: { kind: 'file', size: content.length, mtimeNs: stat.mtimeNs, mode, ...owner, hash },
      });
    }
  };
  walk(rootPath, null);
  return entries;
}

function cut(content: Buffer): ChunkList {
  const builder = new ChunkListBuilder(fileChunking);
  builder.update(content);
  return builder.finish();
}
