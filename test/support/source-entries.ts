import { createHash } from 'node:crypto';
import type { Source, SourceEntry } from '../../agent/source/source.ts';

export type TakenEntry = Omit<SourceEntry, 'content'> & { content: Buffer | null; sha256: string | null };

/** Takes everything a source gives, contents whole. */
export async function takeEntries(
  source: Source,
  signal: AbortSignal = new AbortController().signal,
): Promise<TakenEntry[]> {
  const taken: TakenEntry[] = [];
  for await (const entry of source.entries(signal)) {
    // a piece is valid until the next one is asked for
    const content =
      entry.content === null ? null : await Array.fromAsync(entry.content, (piece) => Buffer.from(piece));
    const whole = content === null ? null : Buffer.concat(content);
    const sha256 = whole === null ? null : createHash('sha256').update(whole).digest('hex');
    taken.push({ ...entry, content: whole, sha256 });
  }
  return taken;
}
