import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';

/** What `pg_dump` has written while a piece was taken, as a rule: as much as the kernel keeps for a socket of this kind. */
const pieceBytesMax = 256 * 1024;
const tokenBytes = 32;

/** `bytes` of `room` were read and are not taken yet: nothing more is read meanwhile. */
type Reading = { readonly room: Buffer; bytes: number; ended: boolean; wake: () => void };

/**
 * The two ends of what a program prints: `programEnd` is for its `stdio`, `pieces` reads the other one, all into the same
 * memory. The pipe that Node would make gives every 64 KiB in memory of their own: for the dump of an hour, of which little
 * is new, that and collecting it as garbage was a tenth of all processor time.
 */
export class ProgramOutput {
  readonly programEnd: net.Socket;
  readonly #socket: net.Socket;
  readonly #reading: Reading;
  #failure: Error | null = null;

  private constructor(programEnd: net.Socket, socket: net.Socket, reading: Reading) {
    this.programEnd = programEnd;
    this.#socket = socket;
    this.#reading = reading;
    socket.on('error', (error) => {
      this.#failure = error;
    });
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        reading.ended = true;
        reading.wake();
      });
    }
  }

  /** @throws system errors, where a connection cannot be made */
  static async open(): Promise<ProgramOutput> {
    const room = Buffer.allocUnsafeSlow(pieceBytesMax);
    const reading: Reading = { room, bytes: 0, ended: false, wake: () => {} };
    const { programEnd, socket } = await connectedEnds({
      buffer: room,
      callback: (length) => {
        reading.bytes = length;
        reading.wake();
        return false;
      },
    });
    return new ProgramOutput(programEnd, socket, reading);
  }

  /** Call it once the program runs: its end is seen when nobody else has `programEnd`. */
  handOver(): void {
    this.programEnd.destroy();
  }

  /** What the program prints up to its end, once. A piece is valid until the next one is asked for. */
  async *pieces(): AsyncGenerator<Buffer, void, void> {
    const reading = this.#reading;
    for (;;) {
      if (reading.bytes === 0 && !reading.ended) {
        await new Promise<void>((resolve) => {
          reading.wake = resolve;
        });
      }
      if (this.#failure !== null) throw this.#failure;
      if (reading.bytes === 0) return;
      yield reading.room.subarray(0, reading.bytes);
      reading.bytes = 0;
      this.#socket.resume();
    }
  }

  /** Ends `pieces` behind the one that is taken. */
  destroy(): void {
    this.programEnd.destroy();
    this.#socket.destroy();
  }
}

/**
 * Two ends of a connection, through a name that is no file. Whoever else connects to that name does not know what is written
 * first, and is cut off.
 */
async function connectedEnds(
  onread: net.OnReadOpts,
): Promise<{ programEnd: net.Socket; socket: net.Socket }> {
  const token = randomBytes(tokenBytes);
  const path = `\0mastokeep-output-${randomBytes(16).toString('hex')}`;
  const server = net.createServer();
  const candidates = new Set<net.Socket>();
  const accepted = new Promise<net.Socket>((resolve, reject) => {
    server.on('error', reject);
    server.on('connection', (candidate) => {
      candidates.add(candidate);
      candidate.on('error', () => candidate.destroy());
      candidate.once('readable', () => {
        const said = candidate.read() as Buffer | null;
        if (said?.length === tokenBytes && timingSafeEqual(said, token)) resolve(candidate);
        else candidate.destroy();
      });
    });
  });
  let programEnd: net.Socket | null = null;
  let socket: net.Socket | null = null;
  try {
    server.listen(path);
    await Promise.race([once(server, 'listening'), accepted]);
    socket = net.connect({ path, onread });
    const lost = once(socket, 'close').then(() => {
      throw new Error('the connection to the program was lost');
    });
    socket.write(token);
    programEnd = await Promise.race([accepted, lost]);
    return { programEnd, socket };
  } finally {
    server.close();
    if (programEnd === null) socket?.destroy();
    for (const candidate of candidates) if (candidate !== programEnd) candidate.destroy();
  }
}
