import { errorTable, type ErrorCode } from './error-table.ts';

export type CodedErrorOptions = {
  /** What the reader can do about it, one sentence in lower case. */
  hint?: string;
  /** Values that help to understand the error; never a secret. */
  context?: Readonly<Record<string, unknown>>;
  cause?: unknown;
};

/**
 * The only error that crosses a module border on purpose: branch on `code`, never on the message.
 * The message is lower case and carries the value that was wrong. Codes and their meaning: docs/errors.md.
 */
export class CodedError extends Error {
  override readonly name = 'CodedError';
  readonly code: ErrorCode;
  readonly hint: string | null;
  readonly context: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: CodedErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? null;
    this.context = options.context ?? {};
  }

  /** Whether the same attempt may succeed later without a person's help. */
  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }

  /** The exit code of a command that ends with this error. */
  get exitCode(): number {
    return errorTable[this.code].exitCode;
  }
}

/** True for a CodedError, of that code where one is given. */
export function isCoded(error: unknown, code?: ErrorCode): error is CodedError {
  return error instanceof CodedError && (code === undefined || error.code === code);
}

/** The `code` of a system error (`ENOENT`, …), or null for anything else. */
export function systemErrorCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
