import type { PostgresServer } from './postgres.ts';

const mark = '=== table ';

/**
 * All that a database holds, as text to compare: each table's rows in a fixed order, of each materialized view what
 * its query gives now (`views: 'queried'`) or what it holds, and each sequence's state.
 */
export function databaseRows(
  server: PostgresServer,
  database: string,
  views: 'queried' | 'held',
): Map<string, string> {
  const source = views === 'held' ? `quote_ident(relname)` : `'(' || rtrim(pg_get_viewdef(oid), ';') || ')'`;
  const relations = server.sql(
    database,
    `select json_agg(json_build_array(relname, relkind, case when relkind = 'm' then ${source} else quote_ident(relname) end) order by relname)
     from pg_class where relkind in ('r', 'm', 'S') and relnamespace = 'public'::regnamespace`,
  );
  const queries = (JSON.parse(relations) as [string, string, string][]).map(([name, kind, from]) => {
    const relation = kind === 'S' ? `(select last_value, is_called from ${from})` : from;
    return `\\echo '${mark}${name}'\nselect t from ${relation} as t order by t::text collate "C";\n`;
  });
  const rows = new Map<string, string>();
  for (const part of server.sql(database, queries.join('')).split(mark).slice(1)) {
    const lineEnd = part.indexOf('\n');
    rows.set(
      lineEnd < 0 ? part : part.slice(0, lineEnd),
      lineEnd < 0 ? '' : part.slice(lineEnd + 1).trimEnd(),
    );
  }
  return rows;
}
