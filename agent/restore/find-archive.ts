import fs from 'node:fs';
import path from 'node:path';
import { CodedError } from '../../shared/errors/coded-error.ts';
import type { RestoreResult } from './run-restore.ts';

/**
 * The one file of a restored dump, made readable for its owner only.
 * @throws CodedError USAGE (the folder is not made from a database), RESTORE_INCOMPLETE
 */
export function findArchive({ folders: [folder] }: RestoreResult): string {
  const source = folder?.version?.source ?? null;
  if (folder === undefined || source !== 'postgres') {
    throw new CodedError('USAGE', `folder ${folder?.id ?? ''} holds no dump of a database`, {
      hint: 'restore its files with --to DIR',
    });
  }
  const [failure] = folder.failed;
  const names = fs.existsSync(folder.target) ? fs.readdirSync(folder.target) : [];
  const [name] = names;
  if (failure !== undefined || name === undefined || names.length > 1) {
    throw new CodedError(
      'RESTORE_INCOMPLETE',
      failure?.message ?? 'the folder does not hold exactly one dump',
    );
  }
  const archive = path.join(folder.target, name);
  fs.chmodSync(archive, 0o600);
  return archive;
}
