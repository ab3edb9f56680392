import ignore from 'ignore';
import type { RelativePath } from '../shared/records/relative-path.ts';

/** Which paths of a folder are left out. A directory that is ignored is not entered, so nothing below it can be taken in again. */
export type IgnoreRules = { ignores(path: RelativePath, isDirectory: boolean): boolean };

/**
 * Patterns in gitignore syntax, case-sensitive as Linux is, relative to the folder's root (of sealed paths: to `/`). Paths are matched as UTF-8
 * text; in a name that is not UTF-8 every byte that does not fit stands as U+FFFD, which `?` and `*` match and no
 * ordinary pattern names.
 * @see https://git-scm.com/docs/gitignore
 */
export function createIgnoreRules(patterns: readonly string[]): IgnoreRules {
  if (patterns.length === 0) return { ignores: () => false };
  const rules = ignore({ ignorecase: false, allowRelativePaths: true }).add([...patterns]);
  return {
    ignores(path, isDirectory) {
      if (path === '') return false;
      const text = Buffer.from(path, 'latin1').toString('utf8');
      // The library knows a directory by the slash behind it.
      return rules.ignores(isDirectory ? `${text}/` : text);
    },
  };
}
