import fs from 'node:fs';
import { expect, it } from 'vitest';
import { sealedLimits } from '../../shared/sealing/sealed-limits.ts';

it('lists the limits of the sealed formats as docs/sealed-format.md does', () => {
  const text = fs.readFileSync(new URL('../../docs/sealed-format.md', import.meta.url), 'utf8');
  const documented = [...text.matchAll(/^\| `(\w+)` \| (\d+) \|$/gm)].map(([, name, value]) => [
    name,
    Number(value),
  ]);
  expect(documented).toEqual(Object.entries(sealedLimits));
});
