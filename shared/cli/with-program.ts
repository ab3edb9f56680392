import { CodedError } from '../errors/coded-error.ts';
import { findProgram } from '../io/control-client.ts';
import { becomeHomeOwner, type Home } from '../io/home.ts';

/** The two ways to a program's commands. */
export type ProgramAccess<Commands> = {
  program: string;
  /** In the running program. */
  remote: (home: Home) => Commands;
  /** Directly on the files of a home whose lock this process holds, until `close` has resolved. */
  offline: (home: Home) => Promise<{ commands: Commands; close(): Promise<void> }>;
};

/** Runs a command in the running program or, where none runs, under the home's lock directly on its files. */
export async function withProgram<Commands, Result>(
  access: ProgramAccess<Commands>,
  home: Home,
  run: (commands: Commands) => Promise<Result>,
): Promise<Result> {
  becomeHomeOwner(home);
  const lock = await findProgram(home, access.program);
  if (lock === null) return run(access.remote(home));
  try {
    const offline = await access.offline(home);
    try {
      return await run(offline.commands);
    } finally {
      await offline.close();
    }
  } finally {
    lock.release();
  }
}

/** Runs a command that only the running program can do. @throws CodedError NOT_RUNNING */
export async function withRunningProgram<Commands, Result>(
  { program, remote }: ProgramAccess<Commands>,
  home: Home,
  run: (commands: Commands) => Promise<Result>,
): Promise<Result> {
  becomeHomeOwner(home);
  const lock = await findProgram(home, program);
  if (lock === null) return run(remote(home));
  lock.release();
  throw new CodedError('NOT_RUNNING', `no ${program} runs on ${home.directory}`, {
    hint: `start it with "systemctl start ${program}", or "${program} --home ${home.directory} run"`,
  });
}
