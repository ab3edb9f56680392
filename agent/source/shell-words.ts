import { CodedError } from '../../shared/errors/coded-error.ts';

/**
 * Splits a command prefix into words as a POSIX shell does: blanks separate, `'…'` is literal, in `"…"` a backslash
 * escapes `"`, `\`, `$` and a backquote, elsewhere it escapes any character. Nothing is expanded: a `$`, a pipe or the
 * like outside quotes is refused, since no shell will read it.
 * @throws CodedError CONFIG_INVALID
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02
 */
export function parseShellWords(text: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
    } else if (character === "'") {
      const end = text.indexOf("'", at + 1);
      if (end < 0) throw unreadable(text, 'a single quote is not closed');
      word = (word ?? '') + text.slice(at + 1, end);
      at = end;
    } else if (character === '"') {
      const quoted = readDoubleQuoted(text, at + 1);
      word = (word ?? '') + quoted.value;
      at = quoted.end;
    } else if (character === '\\') {
      if (at + 1 >= text.length) throw unreadable(text, 'it ends with a backslash');
      word = (word ?? '') + text.charAt(++at);
    } else if ('|&;<>()$`'.includes(character)) {
      throw unreadable(text, `"${character}" would need a shell`);
    } else {
      word = (word ?? '') + character;
    }
  }
  if (word !== null) words.push(word);
  return words;
}

function readDoubleQuoted(text: string, start: number): { value: string; end: number } {
  let value = '';
  for (let at = start; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '"') return { value, end: at };
    if (character === '\\' && '"\\$`'.includes(text.charAt(at + 1)) && at + 1 < text.length) {
      value += text.charAt(++at);
    } else if (character === '$' || character === '`') {
      throw unreadable(text, `"${character}" would need a shell`);
    } else {
      value += character;
    }
  }
  throw unreadable(text, 'a double quote is not closed');
}

function unreadable(text: string, problem: string): CodedError {
  return new CodedError(
    'CONFIG_INVALID',
    `the command prefix ${JSON.stringify(text)} cannot be used: ${problem}`,
    {
      hint: "write a program and its arguments, or let a shell read it: sh -c '…' sh",
    },
  );
}
