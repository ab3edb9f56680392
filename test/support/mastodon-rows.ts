import { encodeCopyLine, type CopyRow as Row } from './copy-line.ts';
import { fixedRows } from './mastodon-fixed-rows.ts';
import { MastodonText, pem } from './mastodon-text.ts';
import { RowRandom } from './row-random.ts';
import { snowflake } from './snowflake.ts';

/** A stretch of time in which statuses come evenly; `first` is the ordinal of its first one. */
export type StatusSegment = { first: number; startMs: number; stepMs: number };

/** Statuses of which the ordinal has this remainder, an odd one, are never answered or boosted, so churn may delete them. */
export const deletableEvery = 50;
export const deletableRemainder = 7;

/** How many rows of each table there are for one status. What is not here does not grow with the statuses. */
const perStatus = {
  accounts: 0.06,
  account_stats: 0.06,
  conversations: 0.55,
  statuses: 1,
  status_stats: 0.5,
  status_edits: 0.02,
  media_attachments: 0.35,
  mentions: 0.5,
  statuses_tags: 1.4,
  preview_cards: 0.2,
  preview_cards_statuses: 0.2,
  polls: 0.005,
  favourites: 0.05,
  bookmarks: 0.01,
  notifications: 0.03,
  quotes: 0.01,
  tombstones: 0.01,
} as const;

export type GrowingTable = keyof typeof perStatus;
export const growingTables = Object.keys(perStatus) as GrowingTable[];

/** Makes the rows of a Mastodon-shaped database as lines of COPY; the same seed makes the same rows. */
export class MastodonRows {
  readonly segments: StatusSegment[];
  readonly #seed: number;
  readonly text: MastodonText;
  readonly locals: number;
  readonly tags: number;

  constructor(seed: number, baseStatuses: number, base: StatusSegment) {
    this.#seed = seed;
    this.segments = [base];
    this.locals = Math.max(5, Math.floor(baseStatuses * 0.0006));
    this.tags = Math.max(40, Math.floor(baseStatuses * 0.03));
    this.text = new MastodonText(seed);
  }

  /** First and last-but-one ordinal of the rows that a range of statuses brings to a table. */
  range(table: GrowingTable, fromStatus: number, toStatus: number): [number, number] {
    return [Math.ceil(fromStatus * perStatus[table]), Math.ceil(toStatus * perStatus[table])];
  }

  statusMs(ordinal: number): number {
    let at = this.segments.length - 1;
    while (at > 0 && (this.segments[at] as StatusSegment).first > ordinal) at--;
    const segment = this.segments[at] as StatusSegment;
    return Math.floor(segment.startMs + (ordinal - segment.first) * segment.stepMs);
  }

  statusId(ordinal: number): bigint {
    return snowflake(this.statusMs(ordinal), ordinal);
  }

  accountId(ordinal: number): bigint {
    return snowflake(this.statusMs(Math.floor(ordinal / perStatus.accounts)), ordinal);
  }

  mediaId(ordinal: number): bigint {
    return snowflake(this.statusMs(Math.floor(ordinal / perStatus.media_attachments)), ordinal);
  }

  /** Lines of COPY for a growing table, for the given range of statuses. */
  *lines(table: GrowingTable, fromStatus: number, toStatus: number): Generator<string, void, void> {
    const [from, to] = this.range(table, fromStatus, toStatus);
    const random = new RowRandom(this.#seed, `${table}:${fromStatus}`);
    for (let ordinal = from; ordinal < to; ordinal++) {
      const status = Math.min(toStatus - 1, Math.max(fromStatus, Math.floor(ordinal / perStatus[table])));
      yield encodeCopyLine(table, this.#growing(table, ordinal, status, random));
    }
  }

  /** Lines of COPY for a table of fixedTables. */
  *fixedLines(table: string): Generator<string, void, void> {
    for (const row of fixedRows(this, table, new RowRandom(this.#seed, table)))
      yield encodeCopyLine(table, row);
  }

  domainOf(account: number): string | null {
    return account < this.locals
      ? null
      : (this.text.domains[(account * 7919) % this.text.domains.length] as string);
  }

  #author(random: RowRandom, status: number): number {
    const accounts = Math.max(1, Math.ceil((status + 1) * perStatus.accounts));
    return (random.zipf(accounts) * 31) % accounts;
  }

  #growing(table: GrowingTable, ordinal: number, status: number, random: RowRandom): Row {
    const ms = this.statusMs(status);
    const times = { created_at: ms, updated_at: ms };
    const statusId = this.statusId(status);
    const author = () => this.accountId(this.#author(random, status));
    const local = (offset = 0) => this.accountId((ordinal + offset) % this.locals);
    switch (table) {
      case 'accounts':
        return { id: this.accountId(ordinal), ...times, ...this.#account(ordinal, random) };
      case 'account_stats':
        return {
          id: ordinal + 1,
          account_id: this.accountId(ordinal),
          statuses_count: random.zipf(5000),
          following_count: random.zipf(900),
          followers_count: random.zipf(9000),
          last_status_at: ms,
          ...times,
        };
      case 'conversations':
        return {
          id: ordinal + 1,
          uri: random.chance(0.4)
            ? null
            : `tag:${this.domainOf(ordinal + 1000)},2025:objectId=${ordinal}${random.bits()}:objectType=Conversation`,
          ...times,
        };
      case 'statuses':
        return { id: statusId, ...times, ...this.#status(ordinal, random) };
      case 'status_stats':
        return {
          id: ordinal + 1,
          status_id: statusId,
          replies_count: random.chance(0.2) ? random.zipf(30) : 0,
          reblogs_count: random.zipf(20),
          favourites_count: random.zipf(50),
          ...times,
        };
      case 'status_edits':
        return {
          id: ordinal + 1,
          status_id: statusId,
          text: this.text.html(random),
          media_descriptions: ['ein Bild, "alt"', '猫'],
          ...times,
        };
      case 'media_attachments':
        return {
          id: this.mediaId(ordinal),
          status_id: statusId,
          account_id: author(),
          ...times,
          ...this.#media(ms, random),
        };
      case 'mentions':
        return { id: ordinal + 1, status_id: statusId, account_id: author(), ...times };
      case 'statuses_tags':
        return {
          status_id: statusId,
          tag_id: random.zipf(Math.floor(this.tags / 2)) * 2 + (ordinal & 1) + 1,
        };
      case 'preview_cards':
        return { id: ordinal + 1, ...times, ...this.#card(ordinal, random) };
      case 'preview_cards_statuses':
        return { preview_card_id: ordinal + 1, status_id: statusId };
      case 'polls':
        return {
          id: ordinal + 1,
          status_id: statusId,
          account_id: author(),
          expires_at: ms + 86_400_000,
          options: [this.text.words(random, 2), this.text.words(random, 3), 'ja, "sicher" \\o/'],
          cached_tallies: [random.below(50), random.below(50), random.below(9)],
          votes_count: random.below(100),
          ...times,
        };
      case 'favourites':
      case 'bookmarks':
        return { id: ordinal + 1, account_id: local(), status_id: statusId, ...times };
      case 'notifications':
        return {
          id: ordinal + 1,
          activity_id: ordinal + 1,
          activity_type: random.pick(['Mention', 'Status', 'Favourite', 'Follow']),
          account_id: local(),
          from_account_id: author(),
          type: random.pick(['mention', 'reblog', 'favourite', 'follow']),
          group_key: random.chance(0.5) ? `favourite-${statusId}-${Math.floor(ms / 3_600_000)}` : null,
          ...times,
        };
      case 'quotes':
        return {
          id: snowflake(ms, ordinal),
          account_id: author(),
          status_id: statusId,
          state: random.below(3),
          activity_uri: `https://${this.domainOf(ordinal + 500)}/quote_requests/${ordinal}-${random.hexBytes(8)}`,
          ...times,
        };
      case 'tombstones':
        return {
          id: ordinal + 1,
          account_id: author(),
          uri: `https://${this.domainOf(ordinal + 77)}/statuses/${random.hexBytes(9)}`,
          ...times,
        };
    }
  }

  #account(ordinal: number, random: RowRandom): Row {
    const domain = this.domainOf(ordinal);
    const username = `${this.text
      .word(random)
      .normalize('NFKD')
      .replaceAll(/[^a-z]/g, '')}_${ordinal}`;
    const home = `https://${domain ?? 'social.example'}/users/${username}`;
    return {
      username,
      domain,
      private_key: domain === null ? pem('RSA PRIVATE KEY', random, 1190) : null,
      public_key: pem('PUBLIC KEY', random, 294),
      note: `<p>${this.text.words(random, random.below(30))}</p>`,
      display_name: `${this.text.words(random, 2)}${random.chance(0.3) ? ' 🦣✨' : ''}`,
      uri: domain === null ? '' : home,
      url: `https://${domain ?? 'social.example'}/@${username}`,
      avatar_file_name: `${random.hexBytes(8)}.png`,
      avatar_content_type: 'image/png',
      avatar_file_size: random.below(200_000),
      avatar_remote_url:
        domain === null ? null : `https://files.${domain}/accounts/avatars/${random.hexBytes(8)}.png`,
      inbox_url: `${home}/inbox`,
      outbox_url: `${home}/outbox`,
      shared_inbox_url: `https://${domain ?? 'social.example'}/inbox`,
      followers_url: `${home}/followers`,
      following_url: `${home}/following`,
      protocol: 1,
      fields: JSON.stringify([
        { name: 'Größe', value: this.text.words(random, 3) },
        { name: 'web', value: `<a href="https://${random.hexBytes(4)}.example">x</a>` },
      ]),
      actor_type: 'Person',
      discoverable: random.chance(0.6),
      last_webfingered_at: this.statusMs(Math.floor(ordinal / perStatus.accounts)),
      also_known_as: random.chance(0.1) ? [`https://old.example/users/${username}`] : null,
    };
  }

  #status(ordinal: number, random: RowRandom): Row {
    const author = this.#author(random, ordinal);
    const domain = this.domainOf(author);
    const earlier = ordinal > 10 ? earlierStatus(ordinal - 1 - random.zipf(ordinal)) : null;
    const boost = earlier !== null && random.chance(0.3);
    const reply = !boost && earlier !== null && random.chance(0.35);
    const uri = `https://${domain ?? 'social.example'}/users/${author}/statuses/${this.statusId(ordinal)}${random.below(1000)}`;
    return {
      uri,
      text: boost ? '' : this.text.html(random),
      in_reply_to_id: reply && earlier !== null ? this.statusId(earlier) : null,
      reblog_of_id: boost && earlier !== null ? this.statusId(earlier) : null,
      url: boost ? null : uri.replace('/users/', '/@'),
      sensitive: random.chance(0.08),
      visibility: random.chance(0.8) ? 0 : random.below(4),
      spoiler_text: random.chance(0.05) ? this.text.words(random, 4) : '',
      reply,
      language: random.pick(['en', 'de', 'ja', 'fr', 'en', 'en']),
      conversation_id: Math.floor(ordinal * perStatus.conversations) + 1,
      local: domain === null,
      account_id: this.accountId(author),
      ordered_media_attachment_ids: random.chance(0.2) ? [random.bits(), random.bits()] : null,
    };
  }

  #media(ms: number, random: RowRandom): Row {
    const name = random.hexBytes(8);
    const width = 400 + random.below(3000);
    const height = 400 + random.below(3000);
    return {
      file_file_name: `${name}.jpg`,
      file_content_type: 'image/jpeg',
      file_file_size: random.below(3_000_000),
      file_updated_at: ms,
      file_storage_schema_version: 1,
      remote_url: random.chance(0.01)
        ? ''
        : `https://files.${random.pick(this.text.domains)}/media_attachments/files/${random.hexBytes(9)}/original/${name}.jpg`,
      file_meta: JSON.stringify({
        focus: { x: 0, y: 0 },
        original: { width, height, size: `${width}x${height}`, aspect: width / height },
        small: { width: 400, height: 300, size: '400x300' },
      }),
      description: random.chance(0.5) ? this.text.words(random, random.below(30)) : null,
      blurhash: `U${random.hexBytes(14)}`,
      processing: 2,
    };
  }

  #card(ordinal: number, random: RowRandom): Row {
    const domain = random.pick(this.text.domains);
    return {
      url: `https://${domain}/${ordinal}/${random.hexBytes(6)}`,
      title: this.text.words(random, 9),
      description: this.text.words(random, 25),
      image_file_name: random.chance(0.7) ? `${random.hexBytes(8)}.jpg` : null,
      image_description: '',
      author_name: this.text.words(random, 2),
      provider_name: domain,
      blurhash: `U${random.hexBytes(14)}`,
      language: 'en',
      width: 400,
      height: 300,
    };
  }
}

/** The nearest earlier status that others answer and boost: one of those that have counters. */
function earlierStatus(ordinal: number): number {
  return Math.max(0, ordinal) & ~1;
}
