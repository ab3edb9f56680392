import { describe, expect, it } from 'vitest';
import { formatByteSize, parseByteSize } from '../../../shared/cli/byte-size.ts';

describe('sizes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [1_048_575, '1 MiB'],
    [15_728_640, '15 MiB'],
    [1_610_612_736, '1.5 GiB'],
    [2 ** 50 * 3000, '3000 PiB'],
  ])('shows %d bytes as %s', (bytes, expected) => {
    expect(formatByteSize(bytes)).toBe(expected);
  });

  it.each([
    ['500', 500],
    ['10 GB', 10_000_000_000],
    ['1.5TiB', 1_649_267_441_664],
    ['200G', 214_748_364_800],
    ['1k', 1024],
  ])('reads %s', (text, expected) => {
    expect(parseByteSize(text)).toBe(expected);
  });

  it.each(['', 'GB', '10 apples', '-1 GB', '1 EB'])('refuses %j', (text) => {
    expect(() => parseByteSize(text)).toThrowError(expect.objectContaining({ code: 'USAGE' }));
  });
});
