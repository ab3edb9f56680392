import { createHash } from 'node:crypto';
import { messageDefinitions } from './codec.ts';

/** The version that this program speaks; `hello` lists all that it can. */
export const protocolVersion = 1;

/** SHA-256 over all message schemas. Another hash is another protocol: it needs a new version, not a new pin. */
export const pinnedSchemaHash = 'b4579b8727a5a1c9c27e5d622c9f630817033bd2f8d6ed4242201da3babd7f8d';

/** What `pinnedSchemaHash` must be, computed from the schemas as they are. */
export function computeSchemaHash(): string {
  const described = Object.values(messageDefinitions).map(({ name, typeByte, description }) => ({
    name,
    typeByte,
    description,
  }));
  return createHash('sha256').update(JSON.stringify(described)).digest('hex');
}
