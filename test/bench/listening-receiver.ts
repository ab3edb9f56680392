import fs from 'node:fs';
import path from 'node:path';
import type { Receiver } from '../support/device.ts';
import { formatEndpoint, freePort } from '../support/link-proxy.ts';

/** Has a receiver listen, for a restore that dials it; only for restores: an agent that can dial would do so. */
export async function makeReceiverListen(receiver: Receiver): Promise<void> {
  const file = path.join(receiver.home, 'receiver.yaml');
  const config = fs.readFileSync(file, 'utf8');
  if (!/^listen: off$/m.test(config)) return;
  await receiver.stop();
  const endpoint = formatEndpoint({ host: '127.0.0.1', port: await freePort() });
  fs.writeFileSync(file, config.replace(/^listen: off$/m, `listen: ${endpoint}`));
  await receiver.start();
}
