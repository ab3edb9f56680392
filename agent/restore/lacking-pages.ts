import type { LackingPages } from '../../shared/cli/lacking-listing.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { limits } from '../../shared/protocol/limits.ts';
import type { OfferedPoint } from './offered-points.ts';
import type { RestoreLink } from './restore-link.ts';
import { entriesMax } from './restore-listing.ts';

/**
 * The files that a point lacks of a mirror folder, as the receiver names them, from the first page to the last. While they
 * are read some may arrive and others turn out to be lacking, but never so many that far more than twice as many are named as were told.
 * @throws CodedError PROTOCOL_VIOLATION, POINT_UNKNOWN (it went meanwhile), LINK_TIMEOUT
 */
export function lackingPagesOf(link: RestoreLink, { id: point, parts }: OfferedPoint): LackingPages {
  let named = 0;
  return async (folder, after) => {
    const page = await link.run((session) => session.browseLacking({ point, folder, after }));
    link.noteProgress();
    if (after === null) named = 0;
    named += page.paths.length;
    const told = parts.find(({ part }) => part.id === folder)?.files ?? 0;
    if (named <= Math.min(2 * told + limits.lackingPageMax, entriesMax)) return page;
    throw new CodedError(
      'PROTOCOL_VIOLATION',
      `the receiver told of ${told} files that are lacking of folder ${folder}, and names ${named} and more`,
    );
  };
}
