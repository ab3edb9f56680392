import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { freePort } from '../support/link-proxy.ts';
import { until } from '../support/until.ts';
import { measureProcess, type Measured } from './measured-process.ts';

/** An rsync daemon on loopback with one empty module, and runs of `rsync -a --fsync` into it. */
export class RsyncDaemon {
  /** Where the copies are. */
  readonly directory: string;
  readonly #place: string;
  readonly #port: number;
  readonly #daemon: ChildProcess;

  private constructor(place: string, port: number) {
    this.#place = place;
    this.#port = port;
    this.directory = path.join(place, 'copy');
    fs.mkdirSync(this.directory, { recursive: true });
    const config = path.join(place, 'rsyncd.conf');
    const owner = `uid = ${process.getuid?.() ?? 0}\ngid = ${process.getgid?.() ?? 0}\n`;
    fs.writeFileSync(
      config,
      `use chroot = false\n${owner}[copy]\npath = ${this.directory}\nread only = false\n`,
    );
    const how = ['--daemon', '--no-detach', '--address', '127.0.0.1', '--port', String(port)];
    this.#daemon = spawn('rsync', [...how, '--config', config], { stdio: 'ignore' });
    process.once('exit', () => this.#daemon.kill('SIGKILL'));
  }

  static async start(place: string): Promise<RsyncDaemon> {
    const daemon = new RsyncDaemon(place, await freePort());
    await until('the rsync daemon listens', async () => listens(daemon.#port));
    return daemon;
  }

  /** Makes the copy like `source`, deletions too. `linkBytes`: what rsync says that it sent and received. */
  async copy(source: string): Promise<Measured & { linkBytes: number }> {
    const output = path.join(this.#place, 'stats');
    const to = `rsync://127.0.0.1:${this.#port}/copy/`;
    const took = await measureProcess(['rsync', '-a', '--fsync', '--delete', '--stats', `${source}/`, to], {
      output,
    });
    const said = fs.readFileSync(output, 'latin1');
    const bytes = ['sent', 'received'].map((way) => {
      const found = new RegExp(`^Total bytes ${way}: ([\\d,.]+)`, 'm').exec(said)?.[1];
      if (found === undefined) throw new Error(`rsync does not say how much it ${way}: ${said}`);
      return Number(found.replaceAll(/\D/g, ''));
    });
    return { ...took, linkBytes: bytes.reduce((sum, one) => sum + one, 0) };
  }

  async stop(): Promise<void> {
    const ended = once(this.#daemon, 'exit');
    this.#daemon.kill();
    await ended;
  }
}

async function listens(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
