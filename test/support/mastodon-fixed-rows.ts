import type { CopyRow as Row } from './copy-line.ts';
import type { MastodonRows } from './mastodon-rows.ts';
import type { RowRandom } from './row-random.ts';
import { snowflake } from './snowflake.ts';

/** The tables that do not grow with the statuses. */
export const fixedTables = [
  'tags',
  'users',
  'oauth_access_tokens',
  'session_activations',
  'login_activities',
  'markers',
  'follows',
  'account_conversations',
  'status_trends',
  'tag_trends',
  'custom_emojis',
  'notification_requests',
  'pghero_space_stats',
  'binary_samples',
] as const;

/** The rows of such a table. */
export function fixedRows(rows: MastodonRows, table: string, random: RowRandom): Row[] {
  const { text } = rows;
  const ms = rows.statusMs(0);
  const times = { created_at: ms, updated_at: ms };
  const user = (at: number) => (at % rows.locals) + 1;
  const each = (count: number, row: (at: number) => Row) => Array.from({ length: count }, (_, at) => row(at));
  const makers: Record<string, () => Row[]> = {
    tags: () =>
      each(rows.tags, (at) => ({
        id: at + 1,
        name: `${text.word(random).toLowerCase()}${at}`,
        last_status_at: ms,
        ...times,
      })),
    users: () =>
      each(rows.locals, (at) => ({
        id: at + 1,
        email: `user${at}@social.example`,
        encrypted_password: `$2a$10$${random.hexBytes(26)}`,
        sign_in_count: at,
        locale: 'de',
        account_id: rows.accountId(at),
        sign_up_ip: `10.${at % 200}.3.4`,
        settings: '{"theme":"system","default_privacy":"public"}',
        otp_backup_codes: [random.hexBytes(6), random.hexBytes(6)],
        approved: true,
        ...times,
      })),
    oauth_access_tokens: () =>
      each(rows.locals * 2, (at) => ({
        id: at + 1,
        token: random.hexBytes(21),
        resource_owner_id: user(at),
        scopes: 'read write follow',
        last_used_at: ms,
        ...times,
      })),
    session_activations: () =>
      each(rows.locals * 2, (at) => ({
        id: at + 1,
        session_id: random.hexBytes(16),
        user_agent: 'Mozilla/5.0 (X11; Linux x86_64)',
        ip: '2001:db8::7',
        user_id: user(at),
        access_token_id: at + 1,
        ...times,
      })),
    login_activities: () =>
      each(rows.locals * 5, (at) => ({
        id: at + 1,
        user_id: user(at),
        success: at % 9 > 0,
        ip: '192.0.2.9',
        created_at: ms,
      })),
    markers: () =>
      each(rows.locals * 2, (at) => ({
        id: at + 1,
        user_id: user(at),
        timeline: at < rows.locals ? 'home' : 'notifications',
        last_read_id: rows.statusId(at),
        ...times,
      })),
    follows: () => {
      const targets = Math.min(60, rows.locals);
      return each(rows.locals * targets, (at) => ({
        id: at + 1,
        account_id: rows.accountId(at % rows.locals),
        target_account_id: rows.accountId(Math.floor(at / rows.locals)),
        show_reblogs: true,
        languages: at % 50 === 0 ? ['de', 'en'] : null,
        ...times,
      }));
    },
    account_conversations: () =>
      each(rows.locals, (at) => ({
        id: at + 1,
        account_id: rows.accountId(at),
        conversation_id: at + 1,
        participant_account_ids: [rows.accountId(0)],
        status_ids: [rows.statusId(at)],
      })),
    status_trends: () =>
      each(20, (at) => ({
        id: at + 1,
        status_id: rows.statusId(at),
        account_id: rows.accountId(0),
        score: random.fraction() * 100,
        rank: at,
      })),
    tag_trends: () =>
      each(20, (at) => ({ id: at + 1, tag_id: at + 1, score: random.fraction() * 100, rank: at })),
    custom_emojis: () =>
      each(rows.tags, (at) => ({
        id: at + 1,
        shortcode: `blob${at}`,
        domain: rows.domainOf(at + 999),
        image_file_name: `${random.hexBytes(8)}.png`,
        ...times,
      })),
    notification_requests: () =>
      each(3, (at) => ({
        id: snowflake(ms, at),
        account_id: rows.accountId(at),
        from_account_id: rows.accountId(at + 1),
        ...times,
      })),
    pghero_space_stats: () =>
      each(200, (at) => ({
        id: at + 1,
        database: 'primary',
        schema: 'public',
        relation: random.pick(fixedTables),
        size: random.bits(),
        captured_at: ms,
      })),
    binary_samples: () => each(50, (at) => ({ id: at + 1, data: random.bytes(at * 80), ...times })),
  };
  return makers[table]?.() ?? [];
}
