import { mastodonShapes, timestampedTables } from './mastodon-schema.ts';

/** What comes after the rows: keys, indexes, foreign keys, views; the materialized ones filled. */
export function mastodonIndexesSql(): string {
  const keys = mastodonShapes.map(
    (shape) => `alter table ${shape.name} add primary key (${shape.key ?? 'id'});`,
  );
  const indexes = mastodonShapes.flatMap((shape) =>
    shape.indexes.map((index, position) => {
      const name = `index_${shape.name}_${position + 1}`;
      if (index.startsWith('gin '))
        return `create index ${name} on ${shape.name} using gin ${index.slice(4)};`;
      return index.startsWith('unique ')
        ? `create unique index ${name} on ${shape.name} ${index.slice(7)};`
        : `create index ${name} on ${shape.name} ${index};`;
    }),
  );
  const sequences = mastodonShapes
    .filter((shape) => shape.key === undefined && !timestampedTables.has(shape.name))
    .map(({ name }) => `select setval('${name}_id_seq', (select coalesce(max(id), 1) from ${name}));`);
  return [...keys, ...indexes, ...foreignKeysSql(), ...sequences, viewsSql].join('\n');
}

const cascading: Readonly<Record<string, readonly string[]>> = {
  accounts: [
    'account_stats.account_id',
    'statuses.account_id',
    'status_edits.account_id:null',
    'mentions.account_id',
    'media_attachments.account_id:null',
    'favourites.account_id',
    'bookmarks.account_id',
    'follows.account_id',
    'follows.target_account_id',
    'notifications.account_id',
    'notifications.from_account_id',
    'polls.account_id',
    'quotes.account_id',
    'quotes.quoted_account_id:null',
    'users.account_id',
    'tombstones.account_id',
    'accounts.moved_to_account_id:null',
    'account_conversations.account_id',
    'status_trends.account_id',
    'notification_requests.account_id',
    'notification_requests.from_account_id',
    'statuses.in_reply_to_account_id:null',
    'preview_cards.author_account_id:null',
    'conversations.parent_account_id:null',
  ],
  statuses: [
    'status_stats.status_id',
    'status_edits.status_id',
    'mentions.status_id',
    'statuses_tags.status_id',
    'media_attachments.status_id:null',
    'favourites.status_id',
    'bookmarks.status_id',
    'polls.status_id',
    'quotes.status_id',
    'quotes.quoted_status_id:null',
    'statuses.in_reply_to_id:null',
    'statuses.reblog_of_id',
    'status_trends.status_id',
    'preview_cards_statuses.status_id',
    'conversations.parent_status_id:null',
    'notification_requests.last_status_id:null',
  ],
  tags: ['statuses_tags.tag_id', 'tag_trends.tag_id'],
  conversations: ['account_conversations.conversation_id'],
  preview_cards: ['preview_card_trends.preview_card_id', 'preview_cards_statuses.preview_card_id'],
  users: [
    'session_activations.user_id',
    'login_activities.user_id',
    'markers.user_id',
    'oauth_access_tokens.resource_owner_id',
  ],
  oauth_access_tokens: ['session_activations.access_token_id'],
};

function foreignKeysSql(): string[] {
  return Object.entries(cascading).flatMap(([target, columns]) =>
    columns.map((text) => {
      const [column, rule] = text.split(':') as [string, string?];
      const [table, name] = column.split('.') as [string, string];
      const action = rule === 'null' ? 'set null' : 'cascade';
      return `alter table ${table} add constraint fk_${table}_${name}
        foreign key (${name}) references ${target}(id) on delete ${action};`;
    }),
  );
}

const viewsSql = `
create index on statuses (conversation_id);
create index on account_conversations (last_status_id);
create view user_ips as
  select user_id, ip, max(used_at) as used_at from (
    select user_id, ip, updated_at as used_at from session_activations
    union all select user_id, ip, created_at from login_activities where success
    union all select id, sign_up_ip, created_at from users where sign_up_ip is not null) as seen
  group by user_id, ip;
create materialized view account_summaries as
  select accounts.id as account_id, mode() within group (order by t.language) as language,
    mode() within group (order by t.sensitive) as sensitive
  from accounts cross join lateral (
    select s.account_id, s.language, s.sensitive from statuses s
    where s.account_id = accounts.id and s.deleted_at is null and s.reblog_of_id is null order by s.id desc limit 20) as t
  where accounts.suspended_at is null and accounts.silenced_at is null and accounts.discoverable group by accounts.id;
create unique index on account_summaries (account_id);
create materialized view global_follow_recommendations as
  select account_id, sum(rank) as rank, array_agg(reason) as reason from (
    select s.account_id, count(f.id) / (1.0 + count(f.id)) as rank, 'most_followed' as reason
    from follows f join account_summaries s on s.account_id = f.target_account_id group by s.account_id having count(f.id) >= 5) as t
  group by account_id order by 2 desc;
create unique index on global_follow_recommendations (account_id);
create materialized view instances as
  select domain, count(*) as accounts_count from accounts where domain is not null group by domain;
create unique index on instances (domain);
create index on instances (reverse('.' || domain), domain);
`;
