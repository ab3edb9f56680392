import fs from 'node:fs';
import { expect, it } from 'vitest';
import { decodeMessage, encodeMessage, messageDefinitions } from '../../../shared/protocol/codec.ts';
import {
  computeSchemaHash,
  pinnedSchemaHash,
  protocolVersion,
} from '../../../shared/protocol/protocol-version.ts';
import { messageText } from '../../support/message-text.ts';

const directory = new URL('../../fixtures/protocol-v1/', import.meta.url);
const names = fs.readdirSync(directory).flatMap((file) => (file.endsWith('.hex') ? [file.slice(0, -4)] : []));
const read = (file: string): string => fs.readFileSync(new URL(file, directory), 'utf8');
const fixtures = names.map((name) => ({
  name,
  bytes: Buffer.from(read(`${name}.hex`).replaceAll('\n', ''), 'hex'),
  text: read(`${name}.json`),
}));

it.each(fixtures)('reads the frozen $name and writes the same bytes again', ({ bytes, text }) => {
  const message = decodeMessage(bytes);
  expect(messageText(message)).toBe(text);
  expect(encodeMessage(message).equals(bytes)).toBe(true);
});

it('has a frozen example of every message', () => {
  const frozen = new Set(fixtures.map(({ bytes }) => decodeMessage(bytes).type));
  expect([...frozen].sort()).toEqual(Object.keys(messageDefinitions).sort());
});

it('speaks the schemas that belong to its version: a changed schema needs a new protocolVersion', () => {
  expect({ protocolVersion, schemaHash: computeSchemaHash() }).toEqual({
    protocolVersion: 1,
    schemaHash: pinnedSchemaHash,
  });
});
