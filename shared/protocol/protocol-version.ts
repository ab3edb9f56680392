import { createHash } from 'node:crypto';
import { messageDefinitions } from './codec.ts';

/** The version that this program speaks; `hello` lists all that it can. */
export const protocolVersion = 1;

/** SHA-256 over all message schemas. Another hash is another protocol: it needs a new version, not a new pin. */
export const pinnedSchemaHash = 'fc38b65278a0e5861adee8bfe201a70b4f2239c5f592f59e6fe26659b0076973';

/** What `pinnedSchemaHash` must be, computed from the schemas as they are. */
export function computeSchemaHash(): string {
  const described = Object.values(messageDefinitions).map(({ name, typeByte, description }) => ({
    name,
    typeByte,
    description,
  }));
  return createHash('sha256').update(JSON.stringify(described)).digest('hex');
}
