import type { Home } from '../shared/io/home.ts';
import type { AgentCommands } from './agent-commands.ts';
export function createOfflineAgentCommands(_home: Home): AgentCommands {
  throw new Error('x');
}
