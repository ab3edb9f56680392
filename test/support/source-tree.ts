import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { hash } from 'node:crypto';

/** A temporary directory that disappears with its `using` variable. */
export function createTemporaryDirectory(name: string): { path: string; [Symbol.dispose](): void } {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), `mastokeep-${name}-`));
  return { path: directory, [Symbol.dispose]: () => fs.rmSync(directory, { recursive: true, force: true }) };
}

/** What is at every path of a tree, by byte string: enough to compare a tree with an index of it. */
export function describeTree(root: string): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (relative: string): void => {
    const absolute = at(root, relative);
    for (const name of fs.readdirSync(absolute, { encoding: 'latin1' })) {
      const child = relative === '' ? name : `${relative}/${name}`;
      const description = describePath(root, child);
      if (description === null) continue;
      found.set(child, description);
      if (description.startsWith('directory')) visit(child);
    }
  };
  visit('');
  return found;
}

/** The file-system argument for a byte string below `root`. */
export function at(root: string, relative: string): Buffer {
  return Buffer.concat([Buffer.from(root), Buffer.from('/'), Buffer.from(relative, 'latin1')]);
}

function describePath(root: string, relative: string): string | null {
  const target = at(root, relative);
  const stat = fs.lstatSync(target, { bigint: true });
  const owner = `${stat.uid}:${stat.gid}`;
  const mode = (stat.mode & 0o7777n).toString(8);
  if (stat.isDirectory()) return `directory ${mode} ${owner}`;
  if (stat.isSymbolicLink()) {
    return `symlink ${fs.readlinkSync(target, { encoding: 'latin1' })} ${stat.mtimeNs} ${owner}`;
  }
  if (!stat.isFile()) return null;
  const content = hash('sha256', fs.readFileSync(target), 'hex');
  return `file ${stat.size} ${stat.mtimeNs} ${mode} ${owner} ${content}`;
}
