import fs from 'node:fs';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';

/** The one line in a file. @throws CodedError USAGE, which never holds any of it */
export function readPassphraseFile(file: string): string {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (cause) {
    throw new CodedError('USAGE', `${file} cannot be read: ${systemErrorCode(cause) ?? String(cause)}`, {
      cause,
    });
  }
  if (text === '' || /[\r\n]/.test(text)) {
    throw new CodedError('USAGE', `${file} does not hold one line with a passphrase`);
  }
  return text;
}
