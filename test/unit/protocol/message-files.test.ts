import fs from 'node:fs';
import { expect, it } from 'vitest';
import { messageDefinitions } from '../../../shared/protocol/codec.ts';

const directory = new URL('../../../shared/protocol/', import.meta.url);
const fileOf = (message: string): string =>
  `${message.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}.ts`;

it.each(Object.keys(messageDefinitions))('%s has a file of its own, called after it', async (name) => {
  const exported = (await import(new URL(fileOf(name), directory).href)) as Record<string, unknown>;
  expect(exported[`${name}Message`]).toBe(
    Object.entries(messageDefinitions).find(([key]) => key === name)?.[1],
  );
  const definitions = Object.keys(exported).filter((key) => key.endsWith('Message'));
  expect(definitions).toEqual([`${name}Message`]);
});

it('no type byte is used twice', () => {
  const typeBytes = Object.values(messageDefinitions).map(({ typeByte }) => typeByte);
  expect(new Set(typeBytes).size).toBe(typeBytes.length);
});

it('limits have one place: no other file of the protocol names a number of bytes or items', () => {
  const files = fs.readdirSync(directory).filter((file) => file !== 'limits.ts');
  const found = files.flatMap((file) => {
    const text = fs.readFileSync(new URL(file, directory), 'utf8');
    return [...text.matchAll(/\.(?:max|length)\((\d[\d_]*)\)/g)].map(([use]) => `${file}: ${use}`);
  });
  expect(found).toEqual([]);
});
