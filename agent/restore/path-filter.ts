import ignore from 'ignore';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { encodeRelativePath, type RelativePath } from '../../shared/records/relative-path.ts';

/** Whether a path is wanted; directories are asked for with `directory: true`. The root is wanted only where everything is. */
export type PathFilter = (path: RelativePath, directory: boolean) => boolean;

export const everyPath: PathFilter = () => true;

/** The library remembers every path that it was asked for; a new one now and then keeps that bounded. */
const testedPathsMax = 100_000;

/**
 * Patterns with the syntax of gitignore, each naming what is wanted: a name alone matches at any depth, with a slash
 * inside it is anchored at the folder's root, a directory means everything below it. `\xNN` stands for a byte, as
 * `displayPath` writes it. No pattern at all wants everything.
 * @throws CodedError USAGE for a negated or empty pattern
 * @see https://git-scm.com/docs/gitignore#_pattern_format
 */
export function createPathFilter(patterns: readonly string[]): PathFilter {
  if (patterns.length === 0) return everyPath;
  const rules = patterns.map(parsePattern);
  const createMatcher = () => ignore({ ignorecase: false }).add(rules.map((pattern) => ({ pattern })));
  let matcher = createMatcher();
  let tested = 0;
  return (path, directory) => {
    if (path === '') return false;
    tested += 1;
    if (tested % testedPathsMax === 0) matcher = createMatcher();
    return matcher.ignores(directory ? `${matchText(path)}/` : matchText(path));
  };
}

function parsePattern(pattern: string): string {
  const text = pattern.replace(/^(?:\.\/)+/, '');
  if (text.trim() === '' || text === '/') {
    throw new CodedError('USAGE', `pattern "${pattern}" names nothing`, {
      hint: 'leave --path out for everything',
    });
  }
  if (text.startsWith('!')) {
    throw new CodedError('USAGE', `pattern "${pattern}" is negated`, {
      hint: 'name what is wanted; a name that starts with ! is written \\!',
    });
  }
  const literal = text.startsWith('#') ? `\\${text}` : text;
  if (!/\\x[0-9a-f]{2}/.test(literal)) return literal;
  const bytes = Buffer.from(literal, 'utf8')
    .toString('latin1')
    .replaceAll(/\\x([0-9a-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return matchText(bytes as RelativePath);
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8 becomes text, so that `?` and `[…]` see characters; other bytes stand for themselves in a private range. */
function matchText(path: RelativePath): string {
  // eslint-disable-next-line no-control-regex
  if (/^[\x00-\x7f]*$/.test(path)) return path;
  try {
    return strictUtf8.decode(encodeRelativePath(path));
  } catch {
    return path.replaceAll(/[\x80-\xff]/g, (byte) => String.fromCharCode(0xf700 + byte.charCodeAt(0)));
  }
}
