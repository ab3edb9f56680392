import fs from 'node:fs';
import { expect, it } from 'vitest';
import { fileChunking } from '../../../shared/chunking/chunking-parameters.ts';
import { gearSeed } from '../../../shared/chunking/gear-table.ts';
import { subprotocol } from '../../../shared/link/tls-peer.ts';
import { messageDefinitions } from '../../../shared/protocol/codec.ts';
import { limits } from '../../../shared/protocol/limits.ts';
import { protocolVersion } from '../../../shared/protocol/protocol-version.ts';

const text = fs.readFileSync(new URL('../../../docs/protocol.md', import.meta.url), 'utf8');

/** The cells of every row whose first cell matches. */
function rows(first: RegExp): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .map((cell) => cell.trim())
        .slice(1, -1),
    )
    .filter(([cell = '']) => first.test(cell));
}

const inCode = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

it('lists every message with its type byte and its fields', () => {
  const documented = rows(/^`0x/).map(([type = '', name = '', , body = '']) => ({
    name: inCode(name)[0],
    typeByte: Number(inCode(type)[0]),
    fields: inCode(body),
  }));
  const defined = Object.values(messageDefinitions).map(({ name, typeByte, description }) => {
    const schema = description as { properties?: object };
    const fields = schema.properties === undefined ? ['requestId', 'parts'] : Object.keys(schema.properties);
    return { name, typeByte, fields };
  });
  expect(documented).toEqual(defined);
});

it('describes every message', () => {
  for (const name of Object.keys(messageDefinitions))
    expect(text).toMatch(new RegExp(`\\*\\*\`${name}\`\\*\\*`));
});

it('lists every limit with its value', () => {
  const documented = rows(/^`\w+(Max|Bytes)`$/).map(([name = '', value = '']) => [
    inCode(name)[0],
    Number(value),
  ]);
  expect(Object.fromEntries(documented)).toEqual(limits);
});

it('tells how to cut chunks', () => {
  const { name, bytesMin, bytesAverage, bytesMax } = fileChunking;
  const parameters = `\`${name}\`: shortest ${bytesMin} bytes, average ${bytesAverage}, longest ${bytesMax}, normalisation level 2`;
  expect(text).toContain(parameters);
  expect(text).toContain(`\`${gearSeed}\``);
  expect(text).toContain(`upper ${Math.log2(bytesAverage) + 2} bits`);
  expect(text).toContain(`upper ${Math.log2(bytesAverage) - 2} bits`);
});

it('names the version and the subprotocol of the link', () => {
  expect(text).toContain(`\`protocolVersion\` is ${protocolVersion}.`);
  expect(text).toContain(`# Protocol v${protocolVersion}`);
  expect(subprotocol).toBe(`mastokeep.v${protocolVersion}`);
  expect(text).toContain(`\`${subprotocol}\``);
});
