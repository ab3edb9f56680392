import fs from 'node:fs';
import { expect, it } from 'vitest';
import { nodeVersionProblem } from '../../shared/node-version.ts';
import { neededNodeVersion, programVersion } from '../../shared/program-version.ts';

it.each(['24.12.0', '24.21.0', '25.0.0', '30.1.2'])('accepts Node.js %s', (version) => {
  expect(nodeVersionProblem(version, 'mastokeep-agent')).toBeNull();
});

it.each(['20.20.2', '22.22.0', '24.11.9'])('says what is needed instead of Node.js %s', (version) => {
  const problem = nodeVersionProblem(version, 'mastokeep-agent');
  expect(problem).toContain('error NODE_TOO_OLD');
  expect(problem).toContain(version);
  expect(problem).toContain('24.12');
});

it('agrees with package.json', () => {
  const text = fs.readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  expect(JSON.parse(text)).toMatchObject({
    version: programVersion,
    engines: { node: `>=${neededNodeVersion}` },
  });
});
