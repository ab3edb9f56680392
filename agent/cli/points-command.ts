import type { Command } from 'commander';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { namesNoPoint, printLacking } from '../../shared/cli/lacking-listing.ts';
import { formatPoint, formatPoints } from '../../shared/cli/point-listing.ts';
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

type PointsOptions = ReceiverRoute & { lacking?: true; json?: true };

/** `points`: the restore points that a receiver holds; needs no `init`. */
export function addPointsCommand(program: Command): void {
  addRouteOptions(
    program
      .command('points')
      .description('list the restore points that a receiver holds, newest first')
      .argument('[POINT]', 'only this one, with what it lacks; the beginning of its name will do'),
  )
    .option('--lacking', 'name every file that POINT lacks')
    .option('--json', 'print JSON')
    .action(async (point: string | undefined, options: PointsOptions, command: Command) => {
      assertRoute(options);
      if (options.lacking === true && point === undefined) throw namesNoPoint();
      await printPoints(point ?? null, options, command);
    });
}

async function printPoints(name: string | null, options: PointsOptions, command: Command): Promise<void> {
  const { browsePoints, listOffered } = await import('../restore/offered-points.ts');
  const { findPoint } = await import('../restore/chosen-point.ts');
  const { lackingPagesOf } = await import('../restore/lacking-pages.ts');
  const { RestoreLink } = await import('../restore/restore-link.ts');
  // a beginning is what the receiver completes: it proves nothing about who signed
  const agentId = options.agent === undefined ? null : parseTypedDeviceId(options.agent).whole;
  const note = (line: string): void => void process.stderr.write(`${line}\n`);
  takeInterrupts(() => process.exit(interruptedExitCode));
  const json = options.json === true;
  // what may be read by a program has stdout for itself
  const alone = json || options.lacking === true;
  const connection = await openReceiverRoute(options, { command, json: alone, note });
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
    const listCommand = `mastokeep-agent points ${options.listen === undefined ? '--from' : '--listen'} …`;
    if (name === null) {
      const listed = points.map(listOffered).toReversed();
      if (json) printJson({ points: listed });
      else printText(formatPoints(listed, listCommand));
      return;
    }
    const point = findPoint(points, name);
    const listed = listOffered(point);
    if (options.lacking === true) await printLacking(listed, lackingPagesOf(link, point), json);
    else if (json) printJson({ points: [listed] });
    else printText(formatPoint(listed, listCommand));
  } finally {
    link.close();
    await connection.stop();
  }
}
