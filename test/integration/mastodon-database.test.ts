import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MastodonDatabase } from '../support/mastodon-database.ts';
import { startPostgres, type PostgresServer } from '../support/postgres.ts';

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
});

afterAll(async () => {
  await server.stop();
});

/** Hash of all rows of all tables, whatever their order on disk. */
function rowsHash(database: string): string {
  const tables = server.sql(
    database,
    `select relname from pg_class where relkind in ('r', 'm') and relnamespace = 'public'::regnamespace order by 1`,
  );
  const queries = tables
    .split('\n')
    .map((table) => `select t from "${table}" as t order by t::text collate "C";`);
  return createHash('sha256')
    .update(server.sql(database, queries.join('\n')))
    .digest('hex');
}

describe('the generated database', () => {
  it('is the same for the same seed, through hours of churn', async () => {
    const options = { seed: 3, statuses: 400 };
    const one = await MastodonDatabase.create(server, 'one', options);
    const two = await MastodonDatabase.create(server, 'two', options);
    const other = await MastodonDatabase.create(server, 'other', { ...options, seed: 4 });
    expect(rowsHash('one')).toBe(rowsHash('two'));
    expect(rowsHash('one')).not.toBe(rowsHash('other'));
    const before = rowsHash('one');
    expect(await one.churn(6)).toEqual(await two.churn(6));
    expect(rowsHash('one')).toBe(rowsHash('two'));
    expect(rowsHash('one')).not.toBe(before);
    expect(other.rows).toBeGreaterThan(1000);
  });

  it('changes about 0.4 % of its rows in an hour: new ones, old ones, fewer', async () => {
    const database = await MastodonDatabase.create(server, 'rate', { seed: 1, statuses: 8000 });
    const rows = database.rows;
    const counted = await database.churn(4);
    const share = (counted.inserted + counted.updated + counted.deleted) / rows / 4;
    expect(share).toBeGreaterThan(0.0035);
    expect(share).toBeLessThan(0.0046);
    const changed = server.sql(
      'rate',
      `select count(*) filter (where id < (select id from statuses order by id offset 4000 limit 1)) > 0 from statuses s where exists (select from status_stats t where t.status_id = s.id and t.updated_at > t.created_at)`,
    );
    expect(changed).toBe('t');
    expect(Number(server.sql('rate', 'select count(*) from statuses'))).toBeLessThan(database.rows);
    const forgotten =
      "select count(*) from media_attachments where remote_url <> '' and file_file_name is null";
    expect(server.sql('rate', forgotten)).toBe('0');
    await database.churn(1);
    expect(Number(server.sql('rate', forgotten))).toBeGreaterThan(5);
  });
});
