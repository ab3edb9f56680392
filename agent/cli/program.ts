import type { Command } from 'commander';
import { addReloadCommand } from '../../shared/cli/reload-command.ts';
import { createProgram, runProgram } from '../../shared/cli/run-program.ts';
import { agentProgram, defaultAgentHome, initialisedAgentHome } from './agent-home.ts';
import { addAgentConfigCommands } from './config-commands.ts';
import { addDumpCommand } from './dump-command.ts';
import { addFolderCommand } from './folder-command.ts';
import { addInitCommand } from './init-command.ts';
import { addPairingCommands } from './pairing-commands.ts';
import { addRecoverySheetCommand } from './recovery-sheet-command.ts';
import { addPointsCommand } from './points-command.ts';
import { addRecipientCommands } from './recipient-command.ts';
import { addRestoreCommand } from './restore-command.ts';
import { addRunCommand } from './run-command.ts';
import { addScanCommands } from './scan-commands.ts';
import { addStatusCommand } from './status-command.ts';
import { agentAccess } from './with-agent.ts';

/** All commands of `mastokeep-agent`. */
export function createAgentProgram(): Command {
  const program = createProgram(
    agentProgram,
    'Replicates the media and sealed dumps of a Mastodon server to receivers of your own.',
    defaultAgentHome,
  );
  addInitCommand(program);
  addFolderCommand(program);
  addRecipientCommands(program);
  addRecoverySheetCommand(program);
  addRunCommand(program);
  addPairingCommands(program);
  addStatusCommand(program);
  addScanCommands(program);
  addDumpCommand(program);
  addPointsCommand(program);
  addRestoreCommand(program);
  addAgentConfigCommands(program);
  addReloadCommand(program, { access: agentAccess, home: initialisedAgentHome });
  return program;
}

/** Runs `mastokeep-agent` with these arguments and ends the process. */
export async function runAgentProgram(argv: readonly string[]): Promise<void> {
  await runProgram(createAgentProgram(), argv);
}
