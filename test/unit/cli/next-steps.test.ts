import { expect, it } from 'vitest';
import { agentProgramHome } from '../../../agent/cli/agent-home.ts';
import { formatNextSteps } from '../../../shared/cli/next-steps.ts';
import { homeAt } from '../../../shared/io/home.ts';

const steps = [
  ['run', 'start it'],
  ['status', 'see it'],
] as const;

it('says what to type next, for the usual home and for another one', () => {
  const at = (directory: string): string[] =>
    formatNextSteps(agentProgramHome, homeAt(directory, agentProgramHome.configName), steps);

  expect(at('/var/lib/mastokeep-agent')).toEqual([
    'next:',
    '  mastokeep-agent run     start it',
    '  mastokeep-agent status  see it',
  ]);
  expect(at('/srv/keep')[1]).toBe('  mastokeep-agent --home /srv/keep run     start it');
  expect(at("/srv/it's mine")[1]).toBe(`  mastokeep-agent --home '/srv/it'\\''s mine' run     start it`);
});
