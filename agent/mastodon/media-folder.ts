import path from 'node:path';
import type { MirrorFolderConfig } from '../config.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { statTypedPath } from '../stat-typed-path.ts';

/**
 * What Mastodon can fetch or make again, and what should not leave the server: copies of other servers' media,
 * users' archives (they hold private messages in clear) and old import files.
 */
const leftOut = ['/cache/', '/backups/', '/imports/'];

/**
 * The folder `media` of the Mastodon installation in `directory`.
 * @throws CodedError CONFIG_INVALID when it does not look like one
 * @see https://docs.joinmastodon.org/admin/backups/
 */
export function mastodonMediaFolder(directory: string): MirrorFolderConfig {
  const root = path.resolve(directory);
  const media = path.join(root, 'public', 'system');
  if (!isDirectory(media)) {
    throw new CodedError(
      'CONFIG_INVALID',
      `${root} does not look like Mastodon: there is no public/system in it`,
      {
        hint: isMediaTree(root)
          ? `it looks like the media tree itself: use "folder add media --kind mirror --path ${root}" after init`
          : 'name the directory of the installation (often /home/mastodon/live); where media are elsewhere, leave\n' +
            '--mastodon out and use "folder add media --kind mirror --path DIR" after init',
      },
    );
  }
  return { id: 'media', kind: 'mirror', path: media, ignore: [...leftOut] };
}

function isMediaTree(directory: string): boolean {
  return ['media_attachments', 'accounts', 'site_uploads'].some((name) =>
    isDirectory(path.join(directory, name)),
  );
}

function isDirectory(directory: string): boolean {
  return statTypedPath(directory)?.isDirectory() ?? false;
}
