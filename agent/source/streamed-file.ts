import { CodedError } from '../../shared/errors/coded-error.ts';
import { parseTypedPath } from '../../shared/records/relative-path.ts';
import type { SourceEntry } from './source.ts';

/**
 * The one file that a program's output makes, as of now and for its reader alone; its size is known at the end.
 * @throws CodedError SOURCE_FAILED where whoever took the entry did not read `pieces` to their end (`what`: for people)
 */
export async function* streamedFile(
  fileName: string,
  what: string,
  pieces: AsyncGenerator<Buffer, void, void>,
): AsyncGenerator<SourceEntry, void, void> {
  const walk = { finished: false };
  yield {
    path: parseTypedPath(fileName),
    kind: 'file',
    mode: 0o600,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    mtimeNs: BigInt(Date.now()) * 1_000_000n,
    target: null,
    size: null,
    content: (async function* () {
      yield* pieces;
      walk.finished = true;
    })(),
  };
  if (!walk.finished) throw new CodedError('SOURCE_FAILED', `${what} was not read to its end`);
}
