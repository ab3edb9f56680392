import { CodedError } from '../shared/errors/coded-error.ts';
import { parseTypedPath } from '../shared/records/relative-path.ts';
import type { FolderConfig, MirrorFolderConfig, SealedFolderConfig } from './config.ts';
import { pathBelow, realPath } from './real-path.ts';
import { createIgnoreRules } from './ignore-rules.ts';

/**
 * For people, a line each: which folders hold the same files. Two mirror folders then keep them twice; what a sealed
 * folder and a mirror folder share is not secret on a receiver. What a mirror folder ignores it does not hold.
 */
export function describeOverlaps(folders: readonly FolderConfig[]): string[] {
  const mirrors = folders.filter((folder) => folder.kind === 'mirror');
  return folders.flatMap((folder, position) =>
    folder.kind === 'mirror'
      ? mirrors
          .filter((other) => folders.indexOf(other) > position)
          .flatMap((other) => describeTwoMirrors(folder, other))
      : mirrors.flatMap((mirror) => describeUnsealed(folder, mirror)),
  );
}

/**
 * A mirror folder that is about to be added must not show receivers what the others seal.
 * @throws CodedError CONFIG_INVALID
 */
export function assertKeepsSealed(added: MirrorFolderConfig, others: readonly FolderConfig[]): void {
  const [unsealed] = others.flatMap((folder) =>
    folder.kind === 'sealed' ? describeUnsealed(folder, added) : [],
  );
  if (unsealed === undefined) return;
  throw new CodedError('CONFIG_INVALID', unsealed, {
    hint: 'leave it out of the mirror folder with --ignore; or, if that is really meant, write the folder into agent.yaml yourself',
  });
}

function describeTwoMirrors(one: MirrorFolderConfig, other: MirrorFolderConfig): string[] {
  if (holds(one, other.path)) {
    return [`folder ${one.id} holds ${other.path}, which is folder ${other.id}: it is kept twice`];
  }
  if (!holds(other, one.path)) return [];
  return [`folder ${other.id} holds ${one.path}, which is folder ${one.id}: it is kept twice`];
}

function describeUnsealed(sealed: SealedFolderConfig, mirror: MirrorFolderConfig): string[] {
  const { id, source } = sealed;
  if (!('paths' in source)) return [];
  return source.paths.flatMap((path) => {
    if (holds(mirror, path)) {
      return [
        `folder ${id} seals ${path}, but receivers can read it: folder ${mirror.id} holds it, unsealed`,
      ];
    }
    if (pathBelow(realPath(mirror.path), realPath(path)) === null) return [];
    return [
      `folder ${id} seals ${path}, but receivers can read what is in ${mirror.path}: that is folder ${mirror.id}, unsealed`,
    ];
  });
}

/** Whether the path lies in the mirror folder and is not ignored there. */
function holds(mirror: MirrorFolderConfig, path: string): boolean {
  const below = pathBelow(realPath(path), realPath(mirror.path));
  if (below === null) return false;
  const rules = createIgnoreRules(mirror.ignore);
  const relative = parseTypedPath(below);
  return !rules.ignores(relative, true) && !rules.ignores(relative, false);
}
