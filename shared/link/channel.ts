import type { CodedError } from '../errors/coded-error.ts';
import type { DeviceId } from '../identity/device-id.ts';
import type { PeerGrant } from './peer.ts';

/**
 * A live, mutually authenticated connection to one paired device, the same whoever dialled. Messages are whole, binary,
 * in order, and at most 4 MiB.
 */
export type Channel = {
  /** Verified by TLS before anything else was read. */
  readonly peerId: DeviceId;
  /** Its public key (SPKI DER), of which `peerId` is the hash; empty when the link ended before it came up. */
  readonly peerKey: Buffer;
  /** What the pairing allows; the channel ends when the pairing does, or when it comes to allow something else. */
  readonly grant: PeerGrant;
  /**
   * The next message, or null once the link has ended and all that came before an orderly end was taken. Reading from
   * the network pauses while 16 MiB wait. Calls may overlap and are answered in order.
   */
  receive(): Promise<Buffer | null>;
  /**
   * Resolves when the message went to the kernel, not when it arrived: await it before making the next large one.
   * The bytes must not change before.
   * @throws CodedError LINK_CLOSED
   */
  send(message: Uint8Array): Promise<void>;
  /** Sends what was accepted, then ends; nothing more is received. `closed` gives the reason. Idempotent. */
  close(reason?: CodedError): void;
  /** Null after an orderly end without a reason by either side, otherwise why it ended. Never rejects. */
  readonly closed: Promise<CodedError | null>;
  /** Bytes of whole messages. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
};
