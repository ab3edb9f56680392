import fs from 'node:fs';
import path from 'node:path';
import { loadDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { loadRecipients } from '../../shared/sealing/recipient.ts';
import { HeldObjects, SealedBench } from './sealed-bench.ts';
import { crashContent, crashBenchOptions } from './seal-crash-content.ts';

/**
 * Dumps a folder again and again until the process is killed, while a receiver pulls: `HOME HELD FIRST ROUNDS`. What
 * the receiver acknowledged is in files in HELD before it says so.
 */
const [home = '', held = '', first = '0', rounds = '0'] = process.argv.slice(2);
const keys = ['owner.asc', 'other.asc'].map((name) => fs.readFileSync(path.join(home, name)));
const recipients = await loadRecipients(keys.map((content) => ({ name: 'key', content })));
const bench = SealedBench.reuse(home, recipients.slice(0, 1), loadDeviceIdentity(home), crashBenchOptions);
const receiver = HeldObjects.load('receiver', held);
for (let round = Number(first); round < Number(first) + Number(rounds); round += 1) {
  // new recipients in the middle of it
  if (round % 5 === 4) bench.recipients = recipients;
  await bench.dump(crashContent(round));
  if (round % 3 !== 1) receiver.pull(bench.feed);
  bench.sealed.keeper.settle();
}
bench.close();
