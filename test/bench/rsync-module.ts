import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { freePort } from '../support/link-proxy.ts';
import { until } from '../support/until.ts';
import { ProcessMeter } from './process-meter.ts';

const running = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** An rsync daemon on loopback with one module, `copy`, that may be written to. */
export class RsyncModule {
  /** Of the module, with a slash at its end. */
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.url = `rsync://127.0.0.1:${port}/copy/`;
  }

  /** `directory`: for its own files; `copy`: what the module gives and takes. */
  static async start(directory: string, copy: string): Promise<RsyncModule> {
    const port = await freePort();
    const config = path.join(directory, 'rsyncd.conf');
    const lines = ['use chroot = no', 'log file = /dev/null', '[copy]', `path = ${copy}`, 'read only = no'];
    if (process.getuid?.() === 0) lines.push('uid = 0', 'gid = 0');
    fs.writeFileSync(config, `${lines.join('\n')}\n`);
    const args = ['--daemon', '--no-detach', '--address=127.0.0.1', `--port=${port}`, `--config=${config}`];
    const child = spawn('rsync', args, { stdio: 'ignore' });
    running.add(child);
    child.once('exit', () => running.delete(child));
    const daemon = new RsyncModule(child, port);
    await until('the rsync daemon listens', async () => answers(port));
    return daemon;
  }

  /** CPU time counts what serves a connection once that has ended; its memory is not known. */
  meter(): ProcessMeter {
    return new ProcessMeter(this.#child.pid ?? 0);
  }

  async stop(): Promise<void> {
    if (!running.has(this.#child)) return;
    this.#child.kill();
    await once(this.#child, 'exit');
  }
}

async function answers(port: number): Promise<boolean> {
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
