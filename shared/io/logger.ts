import { createRequire } from 'node:module';
import type * as Pino from 'pino';
import type PinoPretty from 'pino-pretty';

/** A static message with fields whose names end in their unit. `warn`: we recovered; `error`: someone must act. */
export type Logger = {
  debug(fields: Record<string, unknown>, message: string): void;
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
  child(fields: Record<string, unknown>): Logger;
};

const require = createRequire(import.meta.url);

/** Readable lines on a terminal, JSON lines otherwise; to stderr. Level: `MASTOKEEP_LOG` (debug, info, warn, error), default info. */
export function createLogger(): Logger {
  // Loaded only now, and for people the second only: most commands log nothing, and both take their time.
  const { pino } = require('pino') as typeof Pino;
  const options = {
    level: process.env['MASTOKEEP_LOG'] ?? 'info',
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (process.stderr.isTTY) {
    const pretty = require('pino-pretty') as typeof PinoPretty;
    const readable = pretty({
      destination: 2,
      sync: true,
      translateTime: 'SYS:HH:MM:ss',
      ignore: 'pid,hostname',
    });
    return pino(options, readable);
  }
  return pino(options, pino.destination({ dest: 2, sync: true }));
}

/** Drops everything; for tests and for commands whose output is their result. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};
