import { createHash, randomBytes } from 'node:crypto';
import type { FeedPosition } from '../../shared/records/feed-position.ts';
import type { CachedStatements } from './cached-statements.ts';

/** The order in which a folder's objects are announced: sequences, and tokens by which receivers know the history. */
export class Announcements {
  readonly #sql: CachedStatements;
  readonly #folderId: number;

  constructor(sql: CachedStatements, folderId: number) {
    this.#sql = sql;
    this.#folderId = folderId;
  }

  position(): FeedPosition {
    return this.#sql.get<FeedPosition>(
      'SELECT index_id AS indexId, sequence, token FROM folders WHERE id = ?',
      this.#folderId,
    ) as FeedPosition;
  }

  /** Null where nothing was announced as of there, or not in this history. */
  token(sequence: number): Buffer | null {
    const row = this.#sql.get<{ token: Buffer }>(
      'SELECT token FROM checkpoints WHERE folder = ? AND sequence = ?',
      this.#folderId,
      sequence,
    );
    return row?.token ?? null;
  }

  /** The next sequence; the token chains over every name and hash that was announced. */
  take(name: string, hash: Buffer, checkpoint: boolean): number {
    const position = this.position();
    const sequence = position.sequence + 1;
    const token = createHash('sha256')
      .update(position.token)
      .update(`${sequence} ${name}\0`)
      .update(hash)
      .digest();
    this.#sql.run('UPDATE folders SET sequence = ?, token = ? WHERE id = ?', sequence, token, this.#folderId);
    if (checkpoint) {
      this.#sql.run(
        'INSERT INTO checkpoints (folder, sequence, token) VALUES (?, ?, ?)',
        this.#folderId,
        sequence,
        token,
      );
    }
    return sequence;
  }

  /** A new index. Sequences go on rising. */
  renew(): void {
    this.#sql.run('UPDATE folders SET index_id = ? WHERE id = ?', randomBytes(8), this.#folderId);
  }
}
