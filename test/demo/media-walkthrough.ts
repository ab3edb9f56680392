import path from 'node:path';
import { compareWithRestored } from './compare-with-restored.ts';
import type { MediaSource } from './media-source.ts';
import { formatBytes, type Narrator } from './narrator.ts';
import type { Stage } from './stage.ts';

/** The main job with a directory of the user's, which is only read: copy, restore into a fresh place, compare. */
export async function walkThroughMedia(stage: Stage, source: MediaSource, narrator: Narrator): Promise<void> {
  narrator.step('Your directory, which is only read');
  narrator.good(
    `${source.files} files, ${formatBytes(source.bytes)} in ${source.directory} (without cache/)`,
  );

  narrator.step('An agent that reads it, a receiver that keeps a copy');
  await stage.open();

  narrator.step('They are paired by an invitation');
  await stage.pair();

  narrator.step('The copy');
  const copied = (await stage.copy()).folders[0];
  narrator.good(
    `${copied?.files ?? 0} files, ${formatBytes(copied?.bytes ?? 0)} are durable on the receiver`,
  );

  narrator.step('Everything is restored into a fresh place, as a new server would do it');
  const restored = path.join(stage.directory, 'restored');
  await stage.restore(restored, 'all');
  compareWithRestored(source.directory, path.join(restored, 'media'), narrator, stage.startedAt);
}
