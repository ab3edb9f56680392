import { interruptedExitCode } from './run-program.ts';

/** Whether there is a person who sees a question and can answer it. Questions go to stderr, results to stdout. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/** Asks for a line, until `check` finds nothing wrong with it. Ctrl-C ends the process with 130, here and below. */
export async function askText(
  message: string,
  options: { initial?: string; check?: (typed: string) => string | null } = {},
): Promise<string> {
  const { text } = await import('@clack/prompts');
  return taken(
    await text({
      message,
      output: terminal(),
      initialValue: options.initial ?? '',
      validate: (typed) => options.check?.((typed ?? '').trim()) ?? undefined,
    }),
  ).trim();
}

/** Asks for a new passphrase, twice, until both are the same and not empty. The terminal does not show it. */
export async function askNewPassphrase(message: string): Promise<string> {
  const { password, log } = await import('@clack/prompts');
  for (;;) {
    const typed = taken(
      await password({
        message,
        output: terminal(),
        validate: (text) => (text === undefined || text === '' ? 'it must not be empty' : undefined),
      }),
    );
    const again = taken(await password({ message: 'The same again', output: terminal() }));
    if (typed === again) return typed;
    log.error('These were two different ones.', { output: terminal() });
  }
}

/** Lets a person choose one of several. */
export async function askChoice<Value extends string>(
  message: string,
  choices: readonly { value: Value; label: string; hint?: string }[],
): Promise<Value> {
  const { select } = await import('@clack/prompts');
  const options = choices.map(({ value, label, hint }) => ({
    value: value as string,
    label,
    ...(hint === undefined ? {} : { hint }),
  }));
  return taken(await select<string>({ message, options, output: terminal() })) as Value;
}

/** Says that an answer cannot be used. */
export async function reportMistake(message: string): Promise<void> {
  const { log } = await import('@clack/prompts');
  log.error(message, { output: terminal() });
}

/** A terminal that does not know its size (a serial line, a pty that was given none) counts as one of 80 by 24. */
function terminal(): NodeJS.WriteStream {
  const { stderr } = process;
  if (stderr.columns === 0) stderr.columns = 80;
  if (stderr.rows === 0) stderr.rows = 24;
  return stderr;
}

function taken(answer: string | symbol): string {
  if (typeof answer === 'symbol') process.exit(interruptedExitCode);
  return answer;
}
