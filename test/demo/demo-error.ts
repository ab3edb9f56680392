/** What the demo tells the user instead of a stack; `exitCode` 2 where the call itself was wrong. */
export class DemoError extends Error {
  override readonly name = 'DemoError';
  readonly hint: string;
  readonly exitCode: number;

  constructor(message: string, hint: string, exitCode = 2) {
    super(message);
    this.hint = hint;
    this.exitCode = exitCode;
  }
}
