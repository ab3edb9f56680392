import { CodedError } from '../errors/coded-error.ts';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** For people: `0 B`, `999 B`, `1.5 MiB`, `120 GiB`. */
export function formatByteSize(bytes: number): string {
  let value = bytes;
  let position = 0;
  while (value >= 1024 && position < units.length - 1) {
    value /= 1024;
    position += 1;
  }
  // 1023.97 KiB would be shown as 1024 KiB.
  if (position > 0 && position < units.length - 1 && Math.round(value) >= 1024) {
    value /= 1024;
    position += 1;
  }
  const digits = position === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${String(Number(value.toFixed(digits)))} ${units[position]}`;
}

/** Reads `500`, `10 GB`, `1.5TiB`, `200G`: decimal with `B`, binary with `iB` or a bare letter. @throws CodedError USAGE */
export function parseByteSize(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?b)?\s*$/i.exec(text);
  if (match === null) {
    throw new CodedError('USAGE', `"${text}" is not a size`, {
      hint: 'write for example 200 GB, 1.5 TiB or 500M',
    });
  }
  const [, amount = '', letter = '', suffix = ''] = match;
  const power = letter === '' ? 0 : ' kmgtp'.indexOf(letter.toLowerCase());
  const base = suffix.toLowerCase() === 'b' ? 1000 : 1024;
  return Math.round(Number(amount) * base ** power);
}
