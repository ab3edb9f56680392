import { deletableEvery, deletableRemainder, type MastodonRows } from './mastodon-rows.ts';
import type { RowRandom } from './row-random.ts';

/** An hour in which the statuses from `from` to `to` (not included) were written. */
export type ChurnHour = { rows: MastodonRows; from: number; to: number; startMs: number };

/** For each new status, on average. */
const perNewStatus = { favourites: 0.7, tags: 0.1, sessions: 0.03, deletions: 0.03 } as const;

/** Updates that a new status brings with it, all in all; counted in databases of several sizes. */
export const updatesPerStatus = 2.6;

/** Rows that every hour updates, however many statuses there are: those that trend. */
export const updatesPerHour = 40;

const hourMs = 3_600_000;
const dayHours = 24;
const mediaCohortHours = 7 * dayHours;

/**
 * What an hour changes in rows that were there before, as statements that each end a line: counters of the authors and
 * of what was boosted, answered and liked; profiles of remote authors that were not looked at for a day; hashtags,
 * sessions, trends; deletions with all that hangs on them.
 */
export function* churnStatements(hour: ChurnHour, random: RowRandom): Generator<string, void, void> {
  const { rows, from, to } = hour;
  const now = sqlTime(hour.startMs + hourMs - 1);
  const fresh = `statuses where id >= ${rows.statusId(from)}`;
  const touched = `updated_at = ${now}`;
  const draw = <Item>(share: number, make: () => Item): string => {
    const picked = Array.from({ length: Math.ceil((to - from) * share) }, make);
    return `any('{${[...new Set(picked)].join(',')}}')`;
  };
  const liked = draw(perNewStatus.favourites, () => rows.statusId((to - 1 - random.zipf(to)) & ~1));
  const tags = draw(perNewStatus.tags, () => random.zipf(rows.tags) + 1);
  const users = draw(perNewStatus.sessions, () => random.below(rows.locals) + 1);
  const deletable = Math.max(1, Math.floor(from / deletableEvery));
  const deleted = draw(perNewStatus.deletions, () =>
    rows.statusId(random.below(deletable) * deletableEvery + deletableRemainder),
  );
  const note = rows.text.words(random, 12);
  yield `update account_stats set statuses_count = statuses_count + 1, last_status_at = ${now}, ${touched} where account_id in (select account_id from ${fresh});`;
  yield `update status_stats set reblogs_count = reblogs_count + 1, ${touched} where status_id in (select reblog_of_id from ${fresh});`;
  yield `update status_stats set replies_count = replies_count + 1, ${touched} where status_id in (select in_reply_to_id from ${fresh});`;
  yield `update status_stats set favourites_count = favourites_count + 1, ${touched} where status_id = ${liked};`;
  yield `update accounts set last_webfingered_at = ${now}, ${touched}, note = case when id % 5 = 0 then '<p>${note}</p>' else note end where domain is not null and last_webfingered_at < ${now} - interval '1 day' and id in (select account_id from ${fresh});`;
  yield `update tags set last_status_at = ${now}, ${touched} where id = ${tags};`;
  yield `update users set current_sign_in_at = ${now}, sign_in_count = sign_in_count + 1, ${touched} where id = ${users};`;
  yield `update session_activations set ${touched} where user_id = ${users};`;
  yield `update oauth_access_tokens set last_used_at = ${now} where resource_owner_id = ${users};`;
  yield `update markers set last_read_id = ${rows.statusId(from)}, lock_version = lock_version + 1, ${touched} where user_id = ${users};`;
  yield `update status_trends set score = score * 0.9;`;
  yield `update tag_trends set score = score * 0.9;`;
  yield `delete from statuses where id = ${deleted};`;
}

/** Once a day: the remote media of a week-old day are forgotten, the materialized views refreshed, space is given free. */
export function* nightlyStatements(hour: ChurnHour): Generator<string, void, void> {
  const now = sqlTime(hour.startMs + hourMs - 1);
  const cohort = `created_at >= ${now} - interval '${mediaCohortHours + dayHours} hours' and created_at < ${now} - interval '${mediaCohortHours} hours'`;
  yield `update media_attachments set file_file_name = null, file_content_type = null, file_file_size = null, file_updated_at = ${now}, updated_at = ${now} where remote_url <> '' and ${cohort};`;
  yield `delete from tombstones where ${cohort};`;
  yield 'refresh materialized view account_summaries; refresh materialized view instances;';
  yield 'vacuum analyze;';
}

function sqlTime(ms: number): string {
  return `'${new Date(ms).toISOString()}'::timestamp`;
}
