import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { killPrograms } from '../support/program.ts';
import { DemoError } from './demo-error.ts';
import { openMediaSource } from './media-source.ts';
import { walkThroughMedia } from './media-walkthrough.ts';
import { Narrator } from './narrator.ts';
import { walkThroughSample } from './sample-walkthrough.ts';
import { Stage } from './stage.ts';

const usage = `usage: npm start                    the main job with a sample media tree (about a minute)
       npm start -- --media DIR     the same with a directory of yours, which is only read`;

async function main(): Promise<number> {
  const { media, help } = readArguments();
  if (help) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mastokeep-demo-'));
  const narrator = new Narrator();
  let stage: Stage | null = null;
  try {
    const source = media === null ? null : openMediaSource(media, directory);
    stage = new Stage(directory, source?.directory ?? path.join(directory, 'server', 'media'), narrator);
    endOnSignals(stage, narrator);
    narrator.title(`mastokeep: the main job on this machine, in ${directory}`);
    if (source === null) await walkThroughSample(stage, narrator);
    else await walkThroughMedia(stage, source, narrator);
    await stage.close();
  } catch (error) {
    await stage?.close();
    if (stage === null) fs.rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  sayWhereToLook(stage, narrator);
  return 0;
}

function readArguments(): { media: string | null; help: boolean } {
  try {
    const { values } = parseArgs({
      options: { media: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
    return { media: values.media ?? null, help: values.help === true };
  } catch (error) {
    throw new DemoError(error instanceof Error ? error.message : String(error), usage);
  }
}

/** Set once the user has asked for the end: what fails after that is no news. */
let interrupted = false;

/** The programs are process groups of their own, so an interrupt of the terminal reaches this process only. */
function endOnSignals(stage: Stage, narrator: Narrator): void {
  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => {
      if (interrupted) {
        killPrograms();
        process.exit(exitCode);
      }
      interrupted = true;
      narrator.say(`interrupted: ending both programs; ${stage.directory} stays`);
      void stage.close().finally(() => {
        killPrograms();
        process.exit(exitCode);
      });
    });
  }
}

function sayWhereToLook(stage: Stage, narrator: Narrator): void {
  narrator.title(`Done in ${Math.round(narrator.seconds)} seconds. Both programs have ended; look around:`);
  for (const [what, command] of [
    ['the plain copy on the "NAS"', `ls -R ${stage.data}/*/media/current | less`],
    ['old versions of its files', `find ${stage.data}/*/media/versions -type f`],
    ['opening sealed dumps by hand', `less ${stage.data}/RESTORE.txt`],
    ['set up two real machines', 'README.md'],
    ['remove all of this', `rm -rf ${stage.directory}`],
  ] as const) {
    narrator.say(`${what.padEnd(30)} ${command}`);
  }
}

process.stdout.on('error', () => {
  // Nobody reads any more (`npm start | head`).
  killPrograms();
  process.exit(1);
});

try {
  process.exitCode = await main();
} catch (error) {
  // The handler of the signal ends the process, when the programs have ended.
  if (interrupted) await new Promise(() => {});
  killPrograms();
  if (error instanceof DemoError) {
    process.stderr.write(`error: ${error.message}\n  ${error.hint}\n`);
    process.exitCode = error.exitCode;
  } else {
    process.stderr.write(
      `error: the demo failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exitCode = 1;
  }
}
