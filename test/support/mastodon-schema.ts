/**
 * The shape of Mastodon's database at schema version 2025_12_17_091936, written from facts about its columns, not from
 * its code. Columns: `name:type`, types s varchar, x text, B bigint, i integer, b boolean, t timestamp, j jsonb,
 * n inet, f double, y bytea, `[]` array, `?` nullable; `ct` stands for created_at and updated_at.
 */
export type TableShape = { name: string; columns: string; key?: string; indexes: readonly string[] };

const attachment = (name: string) =>
  `${name}_file_name:s? ${name}_content_type:s? ${name}_file_size:i? ${name}_updated_at:t?`;

export const mastodonShapes: readonly TableShape[] = [
  {
    name: 'accounts',
    columns: `username:s domain:s? private_key:x? public_key:x ct note:x display_name:s uri:s url:s?
      ${attachment('avatar')} avatar_storage_schema_version:i? ${attachment('header')} header_storage_schema_version:i?
      avatar_remote_url:s? header_remote_url:s locked:b last_webfingered_at:t? inbox_url:s outbox_url:s
      shared_inbox_url:s followers_url:s following_url:s protocol:i memorial:b moved_to_account_id:B?
      featured_collection_url:s? fields:j? actor_type:s? discoverable:b? also_known_as:s[]? silenced_at:t?
      suspended_at:t? sensitized_at:t? reviewed_at:t? requested_review_at:t? hide_collections:b? suspension_origin:i?
      trendable:b? indexable:b attribution_domains:s[]? id_scheme:i? feature_approval_policy:i`,
    indexes: [
      `gin ((setweight(to_tsvector('simple', display_name), 'A') || setweight(to_tsvector('simple', username), 'B')))`,
      `unique (lower(username), coalesce(lower(domain), ''))`,
      '(domain, id)',
      '(moved_to_account_id) where moved_to_account_id is not null',
      '(uri)',
      '(url) where url is not null',
    ],
  },
  {
    name: 'account_stats',
    columns: 'account_id:B statuses_count:B following_count:B followers_count:B ct last_status_at:t?',
    indexes: ['unique (account_id)', '(last_status_at desc nulls last, account_id)'],
  },
  {
    name: 'conversations',
    columns: 'uri:s? ct parent_status_id:B? parent_account_id:B?',
    indexes: [
      'unique (uri) where uri is not null',
      'unique (parent_status_id) where parent_status_id is not null',
    ],
  },
  {
    name: 'statuses',
    columns: `uri:s? text:x ct in_reply_to_id:B? reblog_of_id:B? url:s? sensitive:b visibility:i spoiler_text:x reply:b
      language:s? conversation_id:B? local:b? account_id:B application_id:B? in_reply_to_account_id:B? poll_id:B?
      deleted_at:t? edited_at:t? trendable:b? ordered_media_attachment_ids:B[]? fetched_replies_at:t?
      quote_approval_policy:i`,
    indexes: [
      '(account_id, id desc, visibility, updated_at) where deleted_at is null',
      '(account_id)',
      '(deleted_at) where deleted_at is not null',
      '(id desc, account_id) where local or uri is null',
      '(id desc, language, account_id) where visibility = 0',
      '(in_reply_to_account_id) where in_reply_to_account_id is not null',
      '(in_reply_to_id) where in_reply_to_id is not null',
      '(reblog_of_id, account_id)',
      'unique (uri) where uri is not null',
      '(url) where url is not null and url <> uri',
    ],
  },
  {
    name: 'status_stats',
    columns: `status_id:B replies_count:B reblogs_count:B favourites_count:B ct untrusted_favourites_count:B?
      untrusted_reblogs_count:B? quotes_count:B`,
    indexes: ['unique (status_id)'],
  },
  {
    name: 'status_edits',
    columns: `status_id:B account_id:B? text:x spoiler_text:x ct ordered_media_attachment_ids:B[]?
      media_descriptions:x[]? poll_options:s[]? sensitive:b? quote_id:B?`,
    indexes: ['(account_id)', '(status_id)'],
  },
  {
    name: 'media_attachments',
    columns: `status_id:B? ${attachment('file')} file_storage_schema_version:i? ${attachment('thumbnail')}
      remote_url:s thumbnail_remote_url:s? ct shortcode:s? type:i file_meta:j? account_id:B? description:x?
      scheduled_status_id:B? blurhash:s? processing:i?`,
    indexes: ['(account_id, status_id desc)', '(scheduled_status_id)', 'unique (shortcode)', '(status_id)'],
  },
  {
    name: 'mentions',
    columns: 'status_id:B account_id:B silent:b ct',
    indexes: ['unique (account_id, status_id)', '(status_id)'],
  },
  {
    name: 'tags',
    columns: `name:s display_name:s? ct usable:b? trendable:b? listable:b? reviewed_at:t? requested_review_at:t?
      last_status_at:t? max_score:f? max_score_at:t?`,
    indexes: ['unique (lower(name))'],
  },
  {
    name: 'statuses_tags',
    columns: 'status_id:B tag_id:B',
    key: 'tag_id, status_id',
    indexes: ['(status_id)'],
  },
  {
    name: 'preview_cards',
    columns: `url:s title:s description:s ${attachment('image')} image_storage_schema_version:i? image_remote_url:s?
      image_description:s type:i html:x author_name:s author_url:s provider_name:s provider_url:s embed_url:s width:i
      height:i ct blurhash:s? language:s? max_score:f? max_score_at:t? trendable:b? link_type:i? published_at:t?
      author_account_id:B?`,
    indexes: ['unique (url)', '(author_account_id, id desc) where author_account_id is not null'],
  },
  {
    name: 'preview_cards_statuses',
    columns: 'preview_card_id:B status_id:B url:s?',
    key: 'status_id, preview_card_id',
    indexes: [],
  },
  {
    name: 'polls',
    columns: `account_id:B status_id:B expires_at:t? options:s[] cached_tallies:B[] multiple:b hide_totals:b
      votes_count:B voters_count:B? last_fetched_at:t? lock_version:i ct`,
    indexes: ['(account_id)', '(status_id)'],
  },
  {
    name: 'favourites',
    columns: 'account_id:B status_id:B ct',
    indexes: ['(account_id, id)', 'unique (account_id, status_id)', '(status_id)'],
  },
  {
    name: 'bookmarks',
    columns: 'account_id:B status_id:B ct',
    indexes: ['unique (account_id, status_id)', '(status_id)'],
  },
  {
    name: 'follows',
    columns: 'account_id:B target_account_id:B ct show_reblogs:b notify:b uri:s? languages:s[]?',
    indexes: ['unique (account_id, target_account_id)', '(target_account_id)'],
  },
  {
    name: 'notifications',
    columns: `activity_id:B activity_type:s ct account_id:B from_account_id:B type:s? filtered:b group_key:s?`,
    indexes: [
      '(account_id, group_key) where group_key is not null',
      '(account_id, id desc, type)',
      '(account_id, id desc, type) where filtered = false',
      '(activity_id, activity_type)',
      '(from_account_id)',
    ],
  },
  {
    name: 'account_conversations',
    columns: `account_id:B conversation_id:B participant_account_ids:B[] status_ids:B[] last_status_id:B?
      lock_version:i unread:b`,
    indexes: ['unique (account_id, conversation_id, participant_account_ids)', '(conversation_id)'],
  },
  {
    name: 'quotes',
    columns: `account_id:B status_id:B quoted_status_id:B? quoted_account_id:B? state:i approval_uri:s? activity_uri:s?
      ct legacy:b`,
    indexes: [
      '(account_id, quoted_account_id, id)',
      'unique (activity_uri) where activity_uri is not null',
      '(approval_uri)',
      '(quoted_account_id)',
      '(quoted_status_id, id)',
      'unique (status_id)',
    ],
  },
  {
    name: 'users',
    columns: `email:s ct encrypted_password:s reset_password_token:s? reset_password_sent_at:t? sign_in_count:i
      current_sign_in_at:t? last_sign_in_at:t? confirmation_token:s? confirmed_at:t? confirmation_sent_at:t?
      unconfirmed_email:s? locale:s? otp_secret:s? consumed_timestep:i? otp_required_for_login:b last_emailed_at:t?
      otp_backup_codes:s[]? account_id:B disabled:b invite_id:B? chosen_languages:s[]? created_by_application_id:B?
      approved:b sign_in_token:s? sign_in_token_sent_at:t? webauthn_id:s? sign_up_ip:n? skip_sign_in_token:b?
      role_id:B? settings:x? time_zone:s? age_verified_at:t? require_tos_interstitial:b`,
    indexes: [
      '(account_id)',
      'unique (confirmation_token)',
      '(created_by_application_id)',
      'unique (email)',
      'unique (reset_password_token)',
      '(role_id)',
      '(unconfirmed_email)',
    ],
  },
  {
    name: 'session_activations',
    columns: `session_id:s ct user_agent:s ip:n? user_id:B access_token_id:B? web_push_subscription_id:B?`,
    indexes: ['(access_token_id)', 'unique (session_id)', '(user_id)'],
  },
  {
    name: 'oauth_access_tokens',
    columns: `token:s refresh_token:s? expires_in:i? revoked_at:t? created_at:t scopes:s? application_id:B?
      resource_owner_id:B? last_used_at:t? last_used_ip:n?`,
    indexes: ['unique (refresh_token)', '(resource_owner_id)', 'unique (token)'],
  },
  {
    name: 'login_activities',
    columns: `user_id:B authentication_method:s? provider:s? success:b? failure_reason:s? ip:n? user_agent:s?
      created_at:t?`,
    indexes: ['(user_id)'],
  },
  {
    name: 'markers',
    columns: 'user_id:B timeline:s last_read_id:B lock_version:i ct',
    indexes: ['unique (user_id, timeline)'],
  },
  {
    name: 'tombstones',
    columns: 'account_id:B uri:s ct by_moderator:b?',
    indexes: ['(account_id)', '(uri)'],
  },
  {
    name: 'status_trends',
    columns: 'status_id:B account_id:B score:f rank:i allowed:b language:s?',
    indexes: ['(account_id)', 'unique (status_id)'],
  },
  {
    name: 'tag_trends',
    columns: 'tag_id:B score:f rank:i allowed:b language:s',
    indexes: ['unique (tag_id, language)'],
  },
  {
    name: 'preview_card_trends',
    columns: 'preview_card_id:B score:f rank:i allowed:b language:s?',
    indexes: ['unique (preview_card_id)'],
  },
  {
    name: 'custom_emojis',
    columns: `shortcode:s domain:s? ${attachment('image')} image_storage_schema_version:i? ct disabled:b uri:s?
      image_remote_url:s? visible_in_picker:b category_id:B?`,
    indexes: ['unique (shortcode, domain)'],
  },
  {
    name: 'notification_requests',
    columns: 'account_id:B from_account_id:B last_status_id:B? notifications_count:B ct',
    indexes: ['unique (account_id, from_account_id)'],
  },
  {
    name: 'pghero_space_stats',
    columns: 'database:x? schema:x? relation:x? size:B? captured_at:t?',
    indexes: ['(database, captured_at)'],
  },
  // Mastodon has no bytea of its own today; extensions and forks do.
  { name: 'binary_samples', columns: 'data:y ct', indexes: [] },
];

/** Tables whose ids come from timestamp_id and a sequence that belongs to no column. */
export const timestampedTables = new Set([
  'accounts',
  'statuses',
  'media_attachments',
  'quotes',
  'notification_requests',
]);

type MastodonColumn = { name: string; type: string; array: boolean; nullable: boolean };
export type MastodonTable = { name: string; columns: readonly MastodonColumn[] };

const sqlTypes: Readonly<Record<string, string>> = {
  s: 'character varying',
  x: 'text',
  B: 'bigint',
  i: 'integer',
  b: 'boolean',
  t: 'timestamp(6) without time zone',
  j: 'jsonb',
  n: 'inet',
  f: 'double precision',
  y: 'bytea',
};

export const mastodonTables: ReadonlyMap<string, MastodonTable> = new Map(
  mastodonShapes.map((shape) => [shape.name, { name: shape.name, columns: columnsOf(shape) }]),
);

function columnsOf(shape: TableShape): MastodonColumn[] {
  const words = shape.columns
    .trim()
    .split(/\s+/)
    .flatMap((word) => (word === 'ct' ? ['created_at:t', 'updated_at:t'] : [word]));
  const columns = words.map((word) => {
    const found = /^(\w+):(\w)(\[\])?(\?)?$/.exec(word);
    if (found === null) throw new Error(`column ${word} of ${shape.name}`);
    return {
      name: found[1] as string,
      type: found[2] as string,
      array: found[3] !== undefined,
      nullable: found[4] !== undefined,
    };
  });
  return shape.key === undefined
    ? [{ name: 'id', type: 'B', array: false, nullable: false }, ...columns]
    : columns;
}

/** What comes before the rows: tables, sequences, the function that makes ids. `salt`: an instance's own secret. */
export function mastodonTablesSql(salt: string): string {
  const functionSql = `create function timestamp_id(table_name text) returns bigint language plpgsql as $$
    declare time_part bigint; tail bigint;
    begin
      time_part := (date_part('epoch', now()) * 1000)::bigint << 16;
      tail := ('x' || substr(md5(table_name || '${salt}' || time_part::text), 1, 4))::bit(16)::bigint;
      return time_part | ((tail + nextval(table_name || '_id_seq')) & 65535);
    end $$;`;
  const tables = mastodonShapes.map((shape) => {
    const columns = columnsOf(shape).map((column) => {
      const type = `${sqlTypes[column.type]}${column.array ? '[]' : ''}`;
      return `  "${column.name}" ${type}${column.nullable ? '' : ' not null'}`;
    });
    return `create table ${shape.name} (\n${columns.join(',\n')}\n);`;
  });
  const ids = mastodonShapes
    .filter((shape) => shape.key === undefined)
    .map(({ name }) =>
      timestampedTables.has(name)
        ? `create sequence ${name}_id_seq; alter table ${name} alter id set default timestamp_id('${name}');`
        : `create sequence ${name}_id_seq; alter table ${name} alter id set default nextval('${name}_id_seq');
           alter sequence ${name}_id_seq owned by ${name}.id;`,
    );
  const rails = `create table schema_migrations (version character varying not null primary key);
    insert into schema_migrations values ('20160220174730'), ('20230818142253'), ('20251217091936');
    create table ar_internal_metadata (key character varying not null primary key, value character varying,
      created_at timestamp(6) not null, updated_at timestamp(6) not null);
    insert into ar_internal_metadata values ('environment', 'production', '2026-01-01', '2026-01-01');`;
  return [functionSql, ...tables, ...ids, rails].join('\n');
}
