import fs from 'node:fs';
import path from 'node:path';
import type { DiskOperation } from '../../shared/io/recording-disk.ts';
import type { SeededRandom } from './seeded-random.ts';

type FileNode = {
  kind: 'file';
  content: Buffer;
  synced: Buffer;
  /** A sync failed: the system calls the pages clean, but they never reached the disk. */
  lost: boolean;
};
type DirectoryNode = { kind: 'directory'; entries: Map<string, Node>; synced: Map<string, Node> };
type Node = FileNode | DirectoryNode;

/**
 * - drop: everything unsynced is gone, each file and each directory on its own.
 * - mixed: each unsynced directory entry did or did not reach the disk, each unsynced file is old, new or garbage.
 */
export type PowerCut = { kind: 'drop' } | { kind: 'mixed'; random: SeededRandom };

/** What a disk holds in memory and for good while a trace of operations below `root` is done on it. */
export class DiskModel {
  readonly #root: string;
  readonly #tree: DirectoryNode = emptyDirectory();
  readonly #handles = new Map<number, Node>();

  constructor(root: string) {
    this.#root = root;
  }

  apply(operation: DiskOperation): void {
    switch (operation.call) {
      case 'open': {
        const [parent, name] = this.#parent(operation.path);
        if (operation.created) {
          parent.entries.set(name, {
            kind: 'file',
            content: Buffer.alloc(0),
            synced: Buffer.alloc(0),
            lost: false,
          });
        }
        this.#handles.set(operation.handle, this.#node(operation.path));
        return;
      }
      case 'write': {
        const file = this.#file(operation.handle);
        const at = operation.position ?? file.content.length;
        const grown = Buffer.alloc(Math.max(file.content.length, at + operation.bytes.length));
        file.content.copy(grown);
        operation.bytes.copy(grown, at);
        file.content = grown;
        return;
      }
      case 'truncate': {
        const file = this.#file(operation.handle);
        file.content = file.content.subarray(0, operation.size);
        return;
      }
      case 'syncData': {
        const file = this.#file(operation.handle);
        if (operation.failed) file.lost = true;
        if (!file.lost) file.synced = file.content;
        return;
      }
      case 'syncDirectory': {
        const directory = this.#node(operation.path);
        if (directory.kind === 'directory') directory.synced = new Map(directory.entries);
        return;
      }
      case 'mkdir': {
        const [parent, name] = this.#parent(operation.path);
        parent.entries.set(name, emptyDirectory());
        return;
      }
      case 'unlink':
      case 'rmdir': {
        const [parent, name] = this.#parent(operation.path);
        parent.entries.delete(name);
        return;
      }
      case 'link': {
        const [parent, name] = this.#parent(operation.to);
        parent.entries.set(name, this.#node(operation.from));
        return;
      }
      case 'rename': {
        const [from, fromName] = this.#parent(operation.from);
        const [to, toName] = this.#parent(operation.to);
        const node = this.#node(operation.from);
        if (to.entries.get(toName) === node) return;
        to.entries.set(toName, node);
        from.entries.delete(fromName);
      }
    }
  }

  /** Writes what a power cut now would leave to a directory of the real disk. Hard links stay hard links. */
  materialise(directory: string, cut: PowerCut): void {
    const written = new Map<FileNode, Buffer>();
    const write = (node: DirectoryNode, place: Buffer): void => {
      for (const [name, child] of survivingEntries(node, cut)) {
        const at = Buffer.concat([place, Buffer.from('/'), Buffer.from(name, 'latin1')]);
        if (child.kind === 'directory') {
          fs.mkdirSync(at);
          write(child, at);
          continue;
        }
        const other = written.get(child);
        if (other === undefined) fs.writeFileSync(at, survivingContent(child, cut));
        else fs.linkSync(other, at);
        written.set(child, other ?? at);
      }
    };
    fs.mkdirSync(directory, { recursive: true });
    write(this.#tree, Buffer.from(directory));
  }

  #node(place: string): Node {
    let node: Node = this.#tree;
    for (const name of this.#segments(place)) {
      const next: Node | undefined = node.kind === 'directory' ? node.entries.get(name) : undefined;
      if (next === undefined) throw new Error(`the trace uses ${place}, which is not there`);
      node = next;
    }
    return node;
  }

  #parent(place: string): [DirectoryNode, string] {
    const node = this.#node(path.posix.dirname(place));
    if (node.kind !== 'directory') throw new Error(`the trace uses ${place} below a file`);
    return [node, path.posix.basename(place)];
  }

  #file(handle: number): FileNode {
    const node = this.#handles.get(handle);
    if (node?.kind !== 'file') throw new Error(`the trace writes to handle ${handle}, which is no file`);
    return node;
  }

  #segments(place: string): string[] {
    if (place === this.#root) return [];
    if (!place.startsWith(`${this.#root}/`)) throw new Error(`the trace leaves ${this.#root}: ${place}`);
    return place.slice(this.#root.length + 1).split('/');
  }
}

function emptyDirectory(): DirectoryNode {
  return { kind: 'directory', entries: new Map(), synced: new Map() };
}

function survivingEntries(node: DirectoryNode, cut: PowerCut): Map<string, Node> {
  if (cut.kind === 'drop') return node.synced;
  const names = new Set([...node.synced.keys(), ...node.entries.keys()]);
  const surviving = new Map<string, Node>();
  for (const name of names) {
    const child = (cut.random.chance(0.5) ? node.entries : node.synced).get(name);
    if (child !== undefined) surviving.set(name, child);
  }
  return surviving;
}

function survivingContent(file: FileNode, cut: PowerCut): Buffer {
  if (cut.kind === 'drop' || file.content.equals(file.synced)) return file.synced;
  // Zeros where the new bytes should be, from some place on; what was synced and not overwritten stays.
  const garbage = Buffer.from(file.content);
  const start = cut.random.integer(commonLength(file.content, file.synced), garbage.length);
  garbage.fill(0, start);
  return cut.random.pick([file.synced, file.content, garbage]);
}

function commonLength(a: Buffer, b: Buffer): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length += 1;
  return length;
}
