import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseShellWords } from '../../agent/source/shell-words.ts';

describe('words of a command prefix', () => {
  it('are parted by blanks, quotes and backslashes as in a shell', () => {
    expect(parseShellWords("docker compose -f '/srv/my mastodon/compose.yml' exec -T db")).toEqual([
      'docker',
      'compose',
      '-f',
      '/srv/my mastodon/compose.yml',
      'exec',
      '-T',
      'db',
    ]);
    expect(parseShellWords(`  a\\ b "c \\" \\x" ''  d'e'"f" `)).toEqual(['a b', 'c " \\x', '', 'def']);
    expect(parseShellWords('')).toEqual([]);
  });

  it('are refused where only a shell could make sense of them', () => {
    for (const text of ["a 'b", 'a "b', 'a \\', 'a | b', 'echo $HOME', 'echo "$(id)"', 'a; b', 'a > b']) {
      expect(() => parseShellWords(text)).toThrow(/cannot be used/);
    }
  });

  it('come back from any quoting, and as sh reads them', () => {
    const word = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((text) => !/[\0\n\r]/.test(text));
    fc.assert(
      fc.property(fc.array(word, { maxLength: 5 }), (words) => {
        const quoted = words.map((text) => `'${text.replaceAll("'", `'\\''`)}'`).join(' ');
        expect(parseShellWords(quoted)).toEqual(words);
      }),
    );
    const text = `one 't w o' "th\\"ree" fo\\ ur ""`;
    const bySh = spawnSync('sh', ['-c', `for w in ${text}; do printf '%s\\n' "$w"; done`]).stdout.toString();
    expect(
      parseShellWords(text)
        .map((w) => `${w}\n`)
        .join(''),
    ).toBe(bySh);
  });
});
