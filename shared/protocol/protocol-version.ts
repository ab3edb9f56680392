import { createHash } from 'node:crypto';
import { messageDefinitions } from './codec.ts';

/** The version that this program speaks; `hello` lists all that it can. */
export const protocolVersion = 1;

/** SHA-256 over all message schemas. Another hash is another protocol: it needs a new version, not a new pin. */
export const pinnedSchemaHash = '1d09dc275c7e695588ac4bb1d46a83445c7a7dde439af3183309f443161d80df';

/** What `pinnedSchemaHash` must be, computed from the schemas as they are. */
export function computeSchemaHash(): string {
  const described = Object.values(messageDefinitions).map(({ name, typeByte, description }) => ({
    name,
    typeByte,
    description,
  }));
  return createHash('sha256').update(JSON.stringify(described)).digest('hex');
}
