import { InvalidArgumentError, type Command } from 'commander';
import { formatByteSize } from '../../shared/cli/byte-size.ts';
import { printJson, printText } from '../../shared/cli/command-output.ts';
import { parsePinLabel } from '../../shared/cli/pin-label.ts';
import { formatTable } from '../../shared/cli/table.ts';
import { CodedError } from '../../shared/errors/coded-error.ts';
import { shortDeviceId, type DeviceId } from '../../shared/identity/device-id.ts';
import { parseSeconds } from './parse-seconds.ts';
import type { PinAnswer } from '../dump-and-wait.ts';
import { withRunningAgent } from './with-agent.ts';

const unreadableShownMax = 20;

type DumpOptions = { pin?: string; waitCopies: number; timeout: number; json?: true };

/** `dump`: a version of sealed folders now. */
export function addDumpCommand(program: Command): void {
  program
    .command('dump')
    .description('make a version of a sealed folder now, or of all; a restore point follows by itself')
    .argument('[FOLDER]', 'only this folder')
    .option('--wait-copies <N>', 'wait until it is durable on so many receivers', parseCopies, 0)
    .option(
      '--pin <LABEL>',
      'ask receivers to keep its restore point for ever, and wait until it is made',
      parsePinLabel,
    )
    .option('--timeout <SECONDS>', 'how long to wait at most', parseSeconds, 3600)
    .option('--json', 'print JSON')
    .action(async (folder: string | undefined, options: DumpOptions, command: Command) => {
      const { waitCopies: copies, timeout } = options;
      const done = await withRunningAgent(command, async (commands) =>
        commands.dump({
          folder: folder ?? null,
          pin: options.pin ?? null,
          copies,
          timeoutMs: timeout * 1000,
        }),
      );
      if (options.json === true) {
        printJson(done);
        assertPinned(done.pins);
        return;
      }
      const rows = done.versions.map((version) => [
        version.folder,
        String(version.number),
        formatByteSize(version.plainBytes),
        formatByteSize(version.newBytes),
        formatByteSize(version.sealedBytes),
        `${(version.durationMs / 1000).toFixed(1)} s`,
      ]);
      for (const { folder: id, unreadable } of done.versions) {
        if (unreadable.count === 0) continue;
        process.stderr.write(
          `warning: ${unreadable.count} paths of ${id} cannot be read and are not in the version:\n`,
        );
        for (const line of unreadable.paths.slice(0, unreadableShownMax)) process.stderr.write(`  ${line}\n`);
      }
      printText(
        formatTable(['FOLDER', 'VERSION', 'SIZE', 'NEW', 'TO SEND', 'TIME'], rows),
        ...(done.point === null ? [] : [`restore point ${done.point}`]),
        ...describePins(done),
        ...(copies > 0 ? [`durable on ${copies} receiver${copies === 1 ? '' : 's'}`] : []),
      );
      assertPinned(done.pins);
    });
}

function describePins({ point, pins }: { point: string | null; pins: readonly PinAnswer[] }): string[] {
  if (point === null) return [];
  const pinnedOn = pins
    .filter(({ granted }) => granted === true)
    .map(({ receiver }) => shortReceiver(receiver));
  const open = pins.filter(({ granted }) => granted === null).map(({ receiver }) => shortReceiver(receiver));
  return [
    ...(pinnedOn.length > 0 ? [`pinned on ${pinnedOn.join(', ')}`] : []),
    ...(open.length > 0 ? [`not answered yet by ${open.join(', ')}`] : []),
    ...(pins.length === 0 ? ['no receiver is connected: they are asked for the pin when they are'] : []),
  ];
}

/** @throws CodedError PINS_LIMITED */
function assertPinned(pins: readonly PinAnswer[]): void {
  const refusing = pins.filter(({ granted }) => granted === false);
  if (refusing.length === 0) return;
  const who = refusing.map(({ receiver, code }) => `${shortReceiver(receiver)} (${code})`).join(', ');
  throw new CodedError('PINS_LIMITED', `the dump is made, but not pinned on ${who}`, {
    hint: 'its owner may pin it: "mastokeep-receiver pin POINT LABEL"; "unpin" of older ones makes place for more',
  });
}

function shortReceiver(receiver: string): string {
  return shortDeviceId(receiver as DeviceId);
}

function parseCopies(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 0)
    throw new InvalidArgumentError('it must be a number of receivers.');
  return count;
}
