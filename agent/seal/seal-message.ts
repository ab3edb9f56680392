import type { Recipient } from '../../shared/sealing/recipient.ts';
import type { MessageKey } from '../../shared/sealing/sealer.ts';

/** To whom a folder is sealed. */
export type SealTo =
  | { kind: 'recipients'; recipients: Recipient[] }
  | { kind: 'passphrase'; passphrase: string };

/** What a sealing thread begins with. */
export type SealWorkerData = {
  spoolDirectory: string;
  /** No chunk may be referred to yet: a first dump. */
  nothingKnown: boolean;
};

/** To a sealing thread: `pack` holds chunks to be compressed and padded, `root` a root message as it is. */
export type SealRequest = {
  kind: 'pack' | 'root';
  id: number;
  content: Uint8Array<ArrayBuffer>;
  /** Made by the thread that knows the recipients: OpenPGP.js would take 10 MB of memory in this one too. */
  key: MessageKey;
};

/** Sealed, and durable in the spool under its name. */
export type SealedEvent = {
  type: 'sealed';
  id: number;
  hash: Uint8Array;
  bytes: number;
  chunkList: Uint8Array | null;
  /** That of the request's content, to be used again. */
  buffer: ArrayBuffer;
};
export type SealEvent = SealedEvent | { type: 'failed'; code: string; message: string };
