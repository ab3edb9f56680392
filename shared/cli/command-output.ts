import { CodedError } from '../errors/coded-error.ts';

/** Prints one JSON document. BigInts do not occur in what commands report; times are ISO 8601 already. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Prints lines for people. */
export function printText(...lines: string[]): void {
  for (const line of lines) process.stdout.write(line.endsWith('\n') ? line : `${line}\n`);
}

/** What a command that ends with this error prints on stderr: `error CODE: message`, below it the hint. */
export function formatError(error: unknown): string {
  if (error instanceof CodedError) {
    const hint = error.hint === null ? '' : `${error.hint.replaceAll(/^/gm, '  ')}\n`;
    return `error ${error.code}: ${error.message}\n${hint}`;
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `error INTERNAL: ${detail}\n  this is a defect of mastokeep: please report it with the lines above\n`;
}
