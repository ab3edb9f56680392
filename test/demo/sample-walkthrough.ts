import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { MastodonTree } from '../support/mastodon-tree.ts';
import { compareWithRestored } from './compare-with-restored.ts';
import { DemoError } from './demo-error.ts';
import { formatBytes, type Narrator } from './narrator.ts';
import { SampleDatabase } from './sample-database.ts';
import type { Stage } from './stage.ts';

const sampleFiles = 400;
const medianBytes = 60_000;
const videoBytes = 24_000_000;

/** The main job with a sample tree and a sample dump: copy, seal, change, delete, look at versions, lose everything, take it back, compare. */
export async function walkThroughSample(stage: Stage, narrator: Narrator): Promise<void> {
  narrator.step('A media tree as Mastodon makes it, and what pg_dump prints of a database');
  const tree = MastodonTree.make(stage.media, {
    seed: Date.now(),
    files: sampleFiles,
    medianBytes,
    cacheFiles: 20,
  });
  const video = tree.addUpload({ bytes: videoBytes, extension: 'mp4' });
  narrator.good(`${tree.files} files, and a cache/ that is left out, in ${stage.media}`);

  const database = new SampleDatabase(path.join(stage.directory, 'server', 'database.sql'), Date.now());
  narrator.good(`${formatBytes(fs.statSync(database.dumpFile).size)} of a dump, in ${database.dumpFile}`);

  narrator.step('An agent on the server, a receiver on the NAS');
  await stage.open();

  narrator.step('They are paired by an invitation');
  await stage.pair();

  narrator.step('The first copy');
  const first = (await stage.copy()).folders.find(({ id }) => id === 'media');
  narrator.good(`${first?.files ?? 0} files, ${formatBytes(first?.bytes ?? 0)} are durable on the NAS`);

  narrator.step('The database: cut, compressed and sealed for a key that the server does not have');
  await stage.addDatabase(database.dumpFile);
  await stage.dump();
  const beforeChanges = new Date();

  narrator.step('The server goes on');
  const changes = changeSample(tree);
  const edited = tree.rewriteOriginal(video, videoBytes + 100_000);
  narrator.say(
    `${changes.uploads} uploads, ${changes.avatars} new avatars, a video processed again, ${changes.posts} posts deleted`,
  );
  await stage.copy();
  narrator.good('the NAS has all of it');
  const hour = database.passAnHour();
  narrator.say(
    `${hour.statuses} posts and ${hour.counters} counters in the database; of its dump only those are sent`,
  );
  await stage.dump();

  narrator.step('What was replaced or deleted is still on the NAS');
  await stage.showVersions(edited);
  await stage.showVersions(changes.deletedFile);
  await stage.showDumps();

  narrator.step('The server is lost: media, database, keys');
  const reference = path.join(stage.directory, 'reference');
  execFileSync('cp', ['-a', stage.media, reference]);
  const lastDump = fs.readFileSync(database.dumpFile);
  await stage.loseServer();
  narrator.say(`(${reference} keeps a copy, for the comparison only)`);

  narrator.step('A new server takes everything back from the NAS');
  const restored = path.join(stage.directory, 'new-server');
  await stage.restore(restored, 'all', stage.keyOptions());
  compareWithRestored(reference, path.join(restored, 'media'), narrator);
  const dumpBack = path.join(restored, 'database', 'output');
  if (!fs.readFileSync(dumpBack).equals(lastDump)) {
    throw new DemoError(`${dumpBack} is not the last dump`, 'please report this', 1);
  }
  narrator.good(`${dumpBack}: the last dump, byte for byte, opened with the admin's private key`);

  narrator.step('And one deleted file, as of a time before the changes');
  const earlier = path.join(stage.directory, 'earlier');
  await stage.restore(earlier, 'one', [
    '--folder',
    'media',
    '--at',
    beforeChanges.toISOString(),
    '--path',
    changes.deletedFile,
  ]);
  const back = path.join(earlier, 'media', changes.deletedFile);
  if (!fs.readFileSync(back).equals(changes.deletedContent)) {
    throw new DemoError(`${back} is not the file that was deleted`, 'please report this', 1);
  }
  narrator.good(`${back}: the same bytes as before its deletion`);
}

function changeSample(tree: MastodonTree): {
  uploads: number;
  avatars: number;
  posts: number;
  deletedFile: string;
  deletedContent: Buffer;
} {
  const avatars = tree.avatars.slice(0, 3);
  const posts = tree.attachments.slice(10, 30);
  const deletedFile = posts[0]?.files[0];
  if (deletedFile === undefined) throw new Error('the sample has too few attachments');
  const deletedContent = fs.readFileSync(path.join(tree.root, deletedFile));
  const uploads = 12;
  for (let made = 0; made < uploads; made++) tree.addUpload();
  for (const avatar of avatars) tree.replaceAvatar(avatar);
  for (const post of posts) tree.deleteAttachment(post);
  return { uploads, avatars: avatars.length, posts: posts.length, deletedFile, deletedContent };
}
