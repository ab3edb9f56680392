import { succeedDevice } from '../../receiver/succeed-device.ts';
import type { DeviceId } from '../../shared/identity/device-id.ts';
import { PeerBook } from '../../shared/link/peer-book.ts';
import { receiverCopies } from './receiver-copies.ts';

/** `SCRATCH OLD NEW`: says that NEW goes on with the data of OLD, until it is done or killed. */
const [scratch = '', old = '', next = ''] = process.argv.slice(2);
const copies = receiverCopies(scratch);
await copies.openAll();
await succeedDevice(
  {
    copies,
    book: PeerBook.open({ file: `${scratch}/home/peers.json`, self: 'receiver' }),
    dataDirectory: `${scratch}/data`,
    self: old as DeviceId,
    isConnected: () => false,
    withoutSession: async (_, action) => action(),
    now: () => Date.now(),
  },
  { old, next },
);
await copies.close();
