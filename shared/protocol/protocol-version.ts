import { createHash } from 'node:crypto';
import { messageDefinitions } from './codec.ts';

/** The version that this program speaks; `hello` lists all that it can. */
export const protocolVersion = 1;

/** SHA-256 over all message schemas. Another hash is another protocol: it needs a new version, not a new pin. */
export const pinnedSchemaHash = '857b1a23c0d816d7f5c316da4f4756e97891a7188010029a51df44572b1692ff';

/** What `pinnedSchemaHash` must be, computed from the schemas as they are. */
export function computeSchemaHash(): string {
  const described = Object.values(messageDefinitions).map(({ name, typeByte, description }) => ({
    name,
    typeByte,
    description,
  }));
  return createHash('sha256').update(JSON.stringify(described)).digest('hex');
}
