import type { Command } from 'commander';
import { printJson, printText } from './command-output.ts';

type Unpair = {
  description: string;
  /** `deviceId` may be shortened; resolves with the whole one. @throws CodedError DEVICE_UNKNOWN */
  unpair: (command: Command, deviceId: string) => Promise<{ deviceId: string }>;
  /** What stands behind "no longer paired with DEVICE-ID". */
  remark: string;
};

/** `unpair`: ends a pairing. */
export function addUnpairCommand(program: Command, { description, unpair, remark }: Unpair): void {
  program
    .command('unpair')
    .description(description)
    .argument('<DEVICE-ID>')
    .option('--json', 'print JSON')
    .action(async (deviceId: string, options: { json?: true }, command: Command) => {
      const unpaired = await unpair(command, deviceId);
      if (options.json === true) printJson(unpaired);
      else printText(`no longer paired with ${unpaired.deviceId}${remark}`);
    });
}
