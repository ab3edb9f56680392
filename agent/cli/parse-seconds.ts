import { InvalidArgumentError } from 'commander';

/** Of `--timeout`. @throws InvalidArgumentError */
export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0) || seconds > 10_000_000)
    throw new InvalidArgumentError('it must be a number of seconds, more than 0.');
  return seconds;
}
