import type { ManifestWriter } from '../../shared/sealing/manifest-writer.ts';
import type { CutLog, LoggedEntry, LoggedFile } from './cut-log.ts';
import type { PackUse } from './pack-use.ts';

/**
 * A manifest of what was cut, piece by piece. It begins with the packs in `listed`, to which every other that is named
 * is added. What is named counts as used.
 */
export function* manifestPieces(
  log: CutLog,
  deps: { writer: ManifestWriter; use: PackUse; listed: Set<string> },
): Generator<Buffer> {
  const { writer, listed } = deps;
  yield writer.begin();
  if (listed.size > 0) yield writer.packs(listed);
  for (const { entry, file } of log.entries()) {
    const { path, kind, mode, uid, gid, mtimeNs, target } = entry;
    const common = { path, uid, gid, mtimeNs };
    if (kind === 'directory') yield writer.entry({ ...common, type: 'directory', mode });
    else if (kind === 'symlink') {
      yield writer.entry({ ...common, type: 'symlink', target: Buffer.from(target ?? []) });
    } else if (file === null) throw new Error('a file has no content');
    else yield* filePieces(log, { entry, file }, deps);
  }
}

function* filePieces(
  log: CutLog,
  { entry, file }: { entry: LoggedEntry['entry']; file: LoggedFile },
  { writer, use, listed }: { writer: ManifestWriter; use: PackUse; listed: Set<string> },
): Generator<Buffer> {
  for (const block of log.extents(file.extents)) {
    const names = use.names(block);
    for (const name of names) listed.add(name);
    const packs = writer.packs(names);
    if (packs.length > 0) yield packs;
  }
  const { path, mode, uid, gid, mtimeNs } = entry;
  const { size } = file;
  const head = { path, uid, gid, mtimeNs, type: 'file', mode, size, hash: Buffer.from(file.hash) } as const;
  const blocks = log.extents(file.extents);
  yield* writer.filePieces(
    head,
    Iterator.from(blocks).map((block) => use.extents(block)),
  );
}
