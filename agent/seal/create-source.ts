import type { SealedSourceConfig } from '../config.ts';
import { CommandSource } from '../source/command-source.ts';
import { PathsSource } from '../source/paths-source.ts';
import { PostgresSource } from '../source/postgres-source.ts';
import type { Source } from '../source/source.ts';

/** @throws CodedError CONFIG_INVALID */
export function createSource(config: SealedSourceConfig): Source {
  if ('postgres' in config) {
    return new PostgresSource({ connection: config.postgres.connection, execPrefix: config.postgres.exec });
  }
  if ('paths' in config) return new PathsSource({ paths: config.paths, ignored: config.ignore });
  return new CommandSource({ command: config.command });
}
