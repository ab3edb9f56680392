import { z } from 'zod';
import { CodedError } from '../errors/coded-error.ts';

/** What the control socket does for one command: checks the body, runs it; `signal` aborts when the caller went away. */
export type ControlRoute = (body: unknown, signal: AbortSignal) => Promise<unknown>;

/** A route whose body must fit `input`; anything else is refused with USAGE before `run` sees it. */
export function controlRoute<Input>(
  input: z.ZodType<Input>,
  run: (input: Input, signal: AbortSignal) => Promise<unknown>,
): ControlRoute {
  return async (body, signal) => {
    const parsed = input.safeParse(body ?? {});
    if (!parsed.success) {
      throw new CodedError('USAGE', `the request does not fit: ${z.prettifyError(parsed.error)}`, {
        hint: 'the running program may be another version than this command: restart it',
      });
    }
    return run(parsed.data, signal);
  };
}

/** A route for each command, under its name; `inputs` says what the body of each must be. */
export function controlRoutes<Inputs extends Record<string, z.ZodType>>(
  inputs: Inputs,
  commands: {
    [Name in keyof Inputs]: (input: z.output<Inputs[Name]>, signal: AbortSignal) => Promise<unknown>;
  },
): Record<keyof Inputs, ControlRoute> {
  const routes = Object.entries(inputs).map(([name, input]) => [
    name,
    controlRoute(input as z.ZodType<never>, commands[name as keyof Inputs]),
  ]);
  return Object.fromEntries(routes) as Record<keyof Inputs, ControlRoute>;
}
