import { expect, it } from 'vitest';
import { shortenDeviceIds } from '../../../shared/cli/device-name.ts';
import { formatTable } from '../../../shared/cli/table.ts';

it('aligns columns and leaves no space at the end of a line', () => {
  const text = formatTable(
    ['NAME', 'SIZE'],
    [
      ['a', '1 B'],
      ['a longer name', ''],
    ],
  );
  expect(text).toBe('NAME           SIZE\na              1 B\na longer name\n');
});

it('shortens device IDs as far as they can be told apart', () => {
  const names = shortenDeviceIds(['AAAAAAA-BBBBBBB-C', 'AAAAAAA-CCCCCCC-C', 'DDDDDDD-BBBBBBB-C']);
  expect([...names.values()]).toEqual(['AAAAAAA-BBBBBBB', 'AAAAAAA-CCCCCCC', 'DDDDDDD']);
});
