import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { shortenDeviceIds } from '../../shared/cli/device-name.ts';
import type { ReceiverFreeze } from '../receiver-commands.ts';
import { withReceiver } from './with-receiver.ts';

/** `release`: a person has looked at what a guard found; what is due expires again. */
export function addReleaseCommand(program: Command): void {
  program
    .command('release')
    .description('end a freeze after the alarm of a guard: what the rules let go of the agent expires again')
    .option('--agent <DEVICE-ID>', 'of this agent; may be left out where only one is frozen')
    .option('--json', 'print JSON')
    .action(async (options: { agent?: string; json?: true }, command: Command) => {
      const done = await withReceiver(command, async (commands) =>
        commands.release({ agent: options.agent ?? null }),
      );
      if (options.json === true) printJson(done);
      else printText(describeRelease(done));
      process.exitCode = releaseExitCode(done);
    });
}

/** 3: the agent stays frozen, whatever of it was released. */
export function releaseExitCode({ frozen }: { frozen: boolean }): 0 | 3 {
  return frozen ? 3 : 0;
}

/** What was released, for people. */
export function describeRelease({
  agent,
  released,
  frozen,
}: {
  agent: string | null;
  released: ReceiverFreeze[];
  frozen: boolean;
}): string {
  if (agent === null) return 'no agent is frozen';
  const name = shortenDeviceIds([agent]).get(agent) ?? agent;
  const lines = released.map(({ code, message }) => `  ${code}: ${message}`);
  const stays = `agent ${name} stays frozen, because what came of it cannot be judged: see the alarms of "mastokeep-receiver status"`;
  if (frozen) return [stays, ...(lines.length > 0 ? ['released:', ...lines] : [])].join('\n');
  if (lines.length === 0) return `agent ${name} is not frozen`;
  return [`what is due of agent ${name} expires again; released:`, ...lines].join('\n');
}
