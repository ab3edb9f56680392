import { CodedError } from '../../shared/errors/coded-error.ts';
import { parsePostgresConnection } from '../postgres/postgres-connection.ts';

/** Where a database goes: connection strings without the password, to it and to the one that it is made from. */
export type PostgresTarget = {
  database: string;
  connection: string;
  maintenance: string;
  password: string | null;
};

/**
 * Takes a connection string as libpq reads it, or the bare name of a database, apart. The database that it names is
 * the one that will be made; the user must be able to connect to `postgres` on the same server for that.
 * @throws CodedError CONFIG_INVALID, USAGE (no database is named)
 */
export function parsePostgresTarget(text: string): PostgresTarget {
  const { text: connection, password } = parsePostgresConnection(text);
  const parts = connection === null ? null : splitDatabase(connection);
  if (connection === null || parts === null) {
    throw new CodedError('USAGE', '--pg-restore needs the name of the database that is to be made', {
      hint: 'for example --pg-restore "host=/var/run/postgresql dbname=mastodon_production"',
    });
  }
  return { ...parts, connection, password };
}

function splitDatabase(connection: string): { database: string; maintenance: string } | null {
  const uri = /^(?<server>postgres(?:ql)?:\/\/[^/?]*)(?:\/(?<name>[^?]*))?(?<rest>\?.*)?$/s.exec(
    connection,
  )?.groups;
  if (uri !== undefined) {
    const name = decodeURIComponent(uri['name'] ?? '');
    const maintenance = `${uri['server'] ?? ''}/postgres${uri['rest'] ?? ''}`;
    return name === '' ? null : { database: name, maintenance };
  }
  if (!connection.includes('=')) return { database: connection, maintenance: 'dbname=postgres' };
  const pair = /(?:^|\s)dbname\s*=\s*(?:'(?<quoted>(?:[^'\\]|\\.)*)'|(?<plain>\S+))/s;
  const found = pair.exec(connection)?.groups;
  const database = (found?.['quoted'] ?? found?.['plain'] ?? '').replaceAll(/\\(.)/gs, '$1');
  return database === ''
    ? null
    : { database, maintenance: connection.replace(pair, ` dbname=postgres`).trim() };
}
