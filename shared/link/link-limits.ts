import { limits } from '../protocol/limits.ts';

/** Every bound of a link; times in ms. The roots take `defaultLinkLimits`, tests make them small. */
export type LinkLimits = {
  messageBytesMax: number;
  /** WebSocket frames that one message may come in; we send one. */
  messageFragmentsMax: number;
  /** Received messages that wait for `receive()`; reading pauses at it. */
  receiveQueueBytesMax: number;
  /** Accepted connections that are not yet a channel; the oldest is dropped for a new one. */
  pendingConnectionsMax: number;
  /** From the accepted connection to the channel, or to the end of a join: handshake, certificate, HTTP headers. */
  arrivalTimeoutMs: number;
  httpHeaderBytesMax: number;
  joinFrameBytesMax: number;
  /** Attempts to join a minute from one address (IPv4, or the /64 of an IPv6 address). */
  joinsPerMinuteMax: number;
  /** Dialling one address, to the end of the TLS handshake, and again to the end of the upgrade. */
  dialTimeoutMs: number;
  backoffMinMs: number;
  backoffMaxMs: number;
  /** A link that lived so long starts the back-off anew. */
  steadyAfterMs: number;
  /**
   * Two links that came up within this time of each other crossed; see `choosesArriving`. A device that joins an
   * invitation has this time to dial before it is dialled, so that its first links do not cross.
   */
  crossingMs: number;
  pingIntervalMs: number;
  /** No progress of any kind for so long ends the link. */
  idleTimeoutMs: number;
  /** What an orderly end may take before the connection is cut. */
  closeTimeoutMs: number;
  /** Refusals of one code that are logged one by one in a window; the rest of it is one line. */
  refusalLinesMax: number;
  refusalWindowMs: number;
  /** How often expired grants and invitations are looked for. */
  expiryIntervalMs: number;
};

export const defaultLinkLimits: LinkLimits = {
  messageBytesMax: limits.messageBytesMax,
  messageFragmentsMax: 16,
  receiveQueueBytesMax: 16 * 1024 * 1024,
  pendingConnectionsMax: 256,
  arrivalTimeoutMs: 15_000,
  httpHeaderBytesMax: 8192,
  joinFrameBytesMax: 1024,
  joinsPerMinuteMax: 20,
  dialTimeoutMs: 10_000,
  backoffMinMs: 500,
  backoffMaxMs: 60_000,
  steadyAfterMs: 5000,
  crossingMs: 10_000,
  pingIntervalMs: 15_000,
  idleTimeoutMs: 60_000,
  closeTimeoutMs: 3000,
  refusalLinesMax: 5,
  refusalWindowMs: 60_000,
  expiryIntervalMs: 30_000,
};
