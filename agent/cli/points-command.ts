import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { formatPoints } from '../../shared/cli/point-listing.ts';
import { interruptedExitCode, takeInterrupts } from '../../shared/cli/run-program.ts';
import { parseTypedDeviceId } from '../../shared/identity/device-id.ts';
import { programVersion } from '../../shared/program-version.ts';
import { defaultAnswerTimeoutMs } from '../../shared/transfer/answer-deadline.ts';
import {
  addRouteOptions,
  assertRoute,
  openReceiverRoute,
  receiverPatienceMs,
  type ReceiverRoute,
} from './receiver-route.ts';

type PointsOptions = ReceiverRoute & { json?: true };

/** `points`: the restore points that a receiver holds; needs no `init`. */
export function addPointsCommand(program: Command): void {
  addRouteOptions(
    program.command('points').description('list the restore points that a receiver holds, newest first'),
  )
    .option('--json', 'print JSON')
    .action(async (options: PointsOptions, command: Command) => {
      const points = await listPoints(options, command);
      if (options.json === true) printJson({ points });
      else printText(formatPoints(points));
    });
}

async function listPoints(options: PointsOptions, command: Command) {
  assertRoute(options);
  const { browsePoints, listOffered } = await import('../restore/offered-points.ts');
  const { RestoreLink } = await import('../restore/restore-link.ts');
  // a beginning is what the receiver completes: it proves nothing about who signed
  const agentId = options.agent === undefined ? null : parseTypedDeviceId(options.agent).whole;
  const note = (line: string): void => void process.stderr.write(`${line}\n`);
  takeInterrupts(() => process.exit(interruptedExitCode));
  const connection = await openReceiverRoute(options, { command, json: options.json === true, note });
  const link = new RestoreLink(
    { nextChannel: (signal) => connection.nextChannel(signal), onState: () => {} },
    { programVersion, patienceMs: receiverPatienceMs, answerTimeoutMs: defaultAnswerTimeoutMs },
  );
  try {
    const { signers, points } = await browsePoints(link, agentId);
    if (agentId === null && signers.length > 0)
      note(
        `signer unverified: the points are signed by ${signers.join(', ')}; compare it with the recovery sheet, or name it in full by --agent`,
      );
    return points.map(listOffered).toReversed();
  } finally {
    link.close();
    await connection.stop();
  }
}
