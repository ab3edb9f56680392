import { formatError } from '../../shared/cli/command-output.ts';
import type { CodedError } from '../../shared/errors/coded-error.ts';

/**
 * Names each file of keys that cannot be used on stderr. The command has shown all that it could, and ends with 1 where
 * there is any.
 */
export function failForUnusableKeys(problems: readonly CodedError[]): void {
  for (const problem of problems) process.stderr.write(formatError(problem));
  if (problems.length > 0) process.exitCode = 1;
}
