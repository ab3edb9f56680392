import type { CodedError } from '../errors/coded-error.ts';
import type { DeviceId } from '../identity/device-id.ts';

/** What the pairing with a device allows: to replicate, or to read one agent's history for a restore. */
export type PeerGrant = { role: 'replica' } | { role: 'restore'; agentId: DeviceId };

/** A live link to a paired device, the same whoever dialled. */
export type Channel = {
  /** Verified by TLS before anything else. */
  readonly peerId: DeviceId;
  readonly grant: PeerGrant;
  /** Next whole binary message in order, or null once the link ended. Messages are bounded (4 MiB); reading pauses when 16 MiB wait. */
  receive(): Promise<Buffer | null>;
  /** Resolves when the message went to the kernel (back-pressure: await it before making the next large one). @throws CodedError LINK_CLOSED */
  send(message: Uint8Array): Promise<void>;
  /** Ends the link; idempotent. */
  close(reason?: CodedError): void;
  /** Resolves with the reason when the link has ended; null where it was closed without one. */
  readonly closed: Promise<CodedError | null>;
  readonly bytesSent: number;
  readonly bytesReceived: number;
};
