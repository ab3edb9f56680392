import { expect, it } from 'vitest';
import { errorTable } from '../../shared/errors/error-table.ts';

const head = `# Error codes

Every error that a command, a log line or the other device shows has one of these codes. A command that fails prints
\`error CODE: message\` on stderr, with a hint below it, and ends with the exit code: 1 failed, 2 usage or
configuration, 3 done in part, 4 timed out. *Retried*: the running program tries again by itself. *Told*: the other
device may be told about it.

| code | meaning | exit code | retried | told |
|---|---|---|---|---|
`;

it('docs/errors.md lists every code of the error table, in order (vitest --update writes it)', async () => {
  const names = Object.keys(errorTable);
  expect(names).toEqual([...names].sort());
  const rows = Object.entries(errorTable).map(([code, traits]) => {
    const yes = (value: boolean): string => (value ? 'yes' : '');
    return `| \`${code}\` | ${traits.meaning} | ${traits.exitCode} | ${yes(traits.retryable)} | ${yes(traits.crossesWire)} |\n`;
  });
  await expect(head + rows.join('')).toMatchFileSnapshot('../../docs/errors.md');
});
