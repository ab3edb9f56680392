import type { Logger } from '../../shared/io/logger.ts';

export type LogLine = { level: 'debug' | 'info' | 'warn' | 'error'; message: string } & Record<
  string,
  unknown
>;

/** A logger that keeps its lines and lets a test wait for one. */
export class LogRecorder implements Logger {
  readonly lines: LogLine[] = [];
  #waiting: { matches: (line: LogLine) => boolean; resolve: (line: LogLine) => void }[] = [];

  debug(fields: Record<string, unknown>, message: string): void {
    this.#add({ ...fields, level: 'debug', message });
  }
  info(fields: Record<string, unknown>, message: string): void {
    this.#add({ ...fields, level: 'info', message });
  }
  warn(fields: Record<string, unknown>, message: string): void {
    this.#add({ ...fields, level: 'warn', message });
  }
  error(fields: Record<string, unknown>, message: string): void {
    this.#add({ ...fields, level: 'error', message });
  }
  child(): Logger {
    return this;
  }

  /** The first line that matches, past or future. */
  async line(matches: (line: LogLine) => boolean): Promise<LogLine> {
    const past = this.lines.find(matches);
    if (past !== undefined) return past;
    return new Promise((resolve) => this.#waiting.push({ matches, resolve }));
  }

  /** The first line with that code. */
  async code(code: string): Promise<LogLine> {
    return this.line((line) => line['code'] === code);
  }

  #add(line: LogLine): void {
    this.lines.push(line);
    for (const waiter of this.#waiting.filter(({ matches }) => matches(line))) {
      this.#waiting = this.#waiting.filter((other) => other !== waiter);
      waiter.resolve(line);
    }
  }
}
