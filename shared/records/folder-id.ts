import { CodedError } from '../errors/coded-error.ts';

/**
 * A folder id: lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 64. It is safe as a
 * directory name. Three names are taken by what a receiver keeps beside an agent's folders.
 */
export const folderIdPattern = /^(?!points$|agent\.pem$|succession\.json$)[a-z0-9][a-z0-9._-]{0,63}$/;

/** Checks an id from wire, configuration or command line. @throws CodedError FOLDER_UNKNOWN */
export function parseFolderId(text: string): string {
  if (folderIdPattern.test(text)) return text;
  throw new CodedError('FOLDER_UNKNOWN', `"${text.slice(0, 80)}" is not a folder id`, {
    hint: 'a folder id has lower-case letters, digits, ".", "_" and "-", at most 64, begins with a letter or digit, and is not "points", "agent.pem" or "succession.json"',
  });
}
