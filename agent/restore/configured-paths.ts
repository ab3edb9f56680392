import fs from 'node:fs';
import type { Home } from '../../shared/io/home.ts';
import { readAgentConfig } from '../config.ts';

/** Where the folders of this home belong, by id; none where `init` never ran. @throws CodedError CONFIG_INVALID */
export function configuredPaths(home: Home): ReadonlyMap<string, string> {
  if (!fs.existsSync(home.configFile)) return new Map();
  return new Map(
    readAgentConfig(home).folders.flatMap((folder) =>
      folder.kind === 'mirror' ? [[folder.id, folder.path] as const] : [],
    ),
  );
}
