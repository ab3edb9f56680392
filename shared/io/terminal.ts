import readline from 'node:readline/promises';

/** Asks a person for a line; without a terminal there is nobody to ask and the answer is empty at once. */
export async function askLine(question: string): Promise<string> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return '';
  const terminal = readline.createInterface({ input: process.stdin, output: process.stderr });
  try {
    terminal.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
    return (await terminal.question(question)).trim();
  } finally {
    terminal.close();
  }
}
