import { CodedError } from '../../shared/errors/coded-error.ts';
import { limits } from '../../shared/protocol/limits.ts';

/** Bounds what an agent may announce before it is committed, over all folders of one link: what waits is in memory. */
export class WaitingRecords {
  private bytes = 0;

  /** @throws CodedError PROTOCOL_VIOLATION: more than `recordBytesInFlightMax` waits. */
  take(bytes: number): void {
    this.bytes += bytes;
    if (this.bytes <= limits.recordBytesInFlightMax) return;
    throw new CodedError('PROTOCOL_VIOLATION', `records of ${this.bytes} bytes are announced at once`);
  }

  release(bytes: number): void {
    this.bytes -= bytes;
  }
}
