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

/** Asks a person for a secret, which the terminal does not show. Needs a terminal on standard input. */
export async function askSecret(question: string): Promise<string> {
  const { stdin, stderr } = process;
  // before the question is there to be answered
  stdin.setRawMode(true);
  // a character may come in two pieces
  stdin.setEncoding('utf8');
  stderr.write(question);
  let typed = '';
  try {
    for await (const piece of stdin.iterator({ destroyOnReturn: false })) {
      for (const character of piece as string) {
        if (character === '\r' || character === '\n' || character === '\u0004') return typed;
        if (character === '\u0003') process.kill(process.pid, 'SIGINT');
        else if (character === '\u007F' || character === '\b') typed = typed.slice(0, -1);
        else typed += character;
      }
    }
    return typed;
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}
