import type { Command } from 'commander';
import { addReloadCommand } from '../../shared/cli/reload-command.ts';
import { createProgram, runProgram } from '../../shared/cli/run-program.ts';
import { addReceiverConfigCommands } from './config-commands.ts';
import { addForgetCommand } from './forget-command.ts';
import { addInitCommand } from './init-command.ts';
import { addPairingCommands } from './pairing-commands.ts';
import { addPointsCommands } from './points-command.ts';
import { defaultReceiverHome, initialisedReceiverHome, receiverProgram } from './receiver-home.ts';
import { addReindexCommand } from './reindex-command.ts';
import { addRunCommand } from './run-command.ts';
import { addSucceedCommand } from './succeed-command.ts';
import { addScrubCommand } from './scrub-command.ts';
import { addStatusCommand } from './status-command.ts';
import { addVersionsCommand } from './versions-command.ts';
import { receiverAccess } from './with-receiver.ts';

/** All commands of `mastokeep-receiver`. */
export function createReceiverProgram(): Command {
  const program = createProgram(
    receiverProgram,
    'Keeps versioned copies of what agents on your servers offer.',
    defaultReceiverHome,
  );
  addInitCommand(program);
  addRunCommand(program);
  addPairingCommands(program);
  addStatusCommand(program);
  addVersionsCommand(program);
  addPointsCommands(program);
  addForgetCommand(program);
  addSucceedCommand(program);
  addScrubCommand(program);
  addReindexCommand(program);
  addReceiverConfigCommands(program);
  addReloadCommand(program, { access: receiverAccess, home: initialisedReceiverHome });
  return program;
}

/** Runs `mastokeep-receiver` with these arguments and ends the process. */
export async function runReceiverProgram(argv: readonly string[]): Promise<void> {
  await runProgram(createReceiverProgram(), argv);
}
