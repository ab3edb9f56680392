import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { loadDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { currentDirectory, Device, versionsDirectory, type Agent, type Receiver } from './device.ts';
import { formatEndpoint, freePort, LinkProxy } from './link-proxy.ts';
import { endProgramsOn } from './program.ts';
import { diskDirectory } from './temporary-directory.ts';

type WorkbenchOptions = {
  /** A proxy between the two: the agent advertises its address. */
  proxySeed?: number | string;
  host?: string;
  ignore?: string[];
  /** Let the receiver listen too, for restores that dial it. */
  receiverListens?: boolean;
  /** The receiver's data on a disk, also where all else is in memory: what "durable" costs is part of the test. */
  dataOnDisk?: boolean;
  /** More arguments for the agent's `init`. */
  agentInit?: readonly string[];
};

/**
 * A directory with an agent's home, a receiver's home, a source and the receiver's data, set up by the commands that
 * a user would type. `dispose` ends all processes and removes everything.
 */
export class Workbench {
  readonly directory: string;
  readonly source: string;
  readonly data: string;
  readonly agent: Agent;
  readonly receiver: Receiver;
  proxy: LinkProxy | null = null;
  agentId = '';

  private constructor(directory: string, data: string) {
    this.directory = directory;
    this.source = path.join(directory, 'source');
    this.data = data;
    this.agent = new Device('agent', path.join(directory, 'agent-home'));
    this.receiver = new Device('receiver', path.join(directory, 'receiver-home'));
  }

  /** Both homes are initialised and the agent has the mirror folder `media`; nothing runs yet. */
  static async create(name: string, options: WorkbenchOptions = {}): Promise<Workbench> {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), `mastokeep-${name}-`));
    const data = path.join(options.dataOnDisk === true ? diskDirectory() : directory, 'data');
    const bench = new Workbench(directory, data);
    fs.mkdirSync(bench.source, { recursive: true });
    const host = options.host ?? '127.0.0.1';
    const listen = { host, port: await freePort(host) };
    if (options.proxySeed !== undefined) {
      bench.proxy = await LinkProxy.start(listen, { host, seed: options.proxySeed });
    }
    await Promise.all([
      bench.#initAgent(formatEndpoint(listen), formatEndpoint(bench.proxy?.endpoint ?? listen), options),
      bench.initReceiver(bench.receiver, bench.data, options.receiverListens === true),
    ]);
    return bench;
  }

  async #initAgent(listen: string, advertised: string, options: WorkbenchOptions): Promise<void> {
    const addresses = ['--listen', listen, '--advertise', advertised];
    await this.agent.must(['init', '--yes', ...addresses, ...(options.agentInit ?? [])]);
    const ignores = (options.ignore ?? ['/cache/']).flatMap((pattern) => ['--ignore', pattern]);
    await this.agent.must(['folder', 'add', 'media', '--kind', 'mirror', '--path', this.source, ...ignores]);
    this.agentId = loadDeviceIdentity(this.agent.home).deviceId;
  }

  /** Initialises a receiver; it listens on a free port of 127.0.0.1 where that is wanted. */
  async initReceiver(receiver: Receiver, data: string, listens: boolean): Promise<void> {
    const listen = listens ? ['--listen', formatEndpoint({ host: '127.0.0.1', port: await freePort() })] : [];
    await receiver.must(['init', '--yes', '--data', data, ...listen]);
  }

  /** Starts both and pairs them: an invitation of the agent's, joined by the receiver. */
  async startPaired(): Promise<void> {
    await Promise.all([this.agent.start(), this.receiver.start()]);
    await this.pair(this.receiver);
  }

  async pair(receiver: Receiver): Promise<void> {
    await receiver.must(['join', await this.agent.invite()]);
  }

  /** Waits as a user does until a scan begun now and all that it found is on `copies` receivers. */
  async settled(options: { timeoutS?: number; copies?: number } = {}): Promise<void> {
    const { timeoutS = 300, copies = 1 } = options;
    const result = await this.agent.run(['wait', '--copies', String(copies), '--timeout', String(timeoutS)], {
      timeoutMs: (timeoutS + 30) * 1000,
    });
    if (result.code !== 0) {
      throw new Error(`wait: exit code ${result.code}\n${result.stdout}${result.stderr}\n${this.report()}`);
    }
  }

  get current(): string {
    return currentDirectory(this.data, this.agentId);
  }

  get versions(): string {
    return versionsDirectory(this.data, this.agentId);
  }

  /** What both daemons said, for a failing test. */
  report(): string {
    const reports: string[] = [];
    for (const device of [this.agent, this.receiver]) {
      try {
        reports.push(device.daemon.report());
      } catch (error) {
        reports.push(String(error));
      }
    }
    return reports.join('\n');
  }

  /** Ends every process on it and the proxy and removes the directory; MASTOKEEP_KEEP=1 keeps it for looking at. */
  async dispose(): Promise<void> {
    await endProgramsOn(this.directory);
    await this.proxy?.stop();
    if (process.env['MASTOKEEP_KEEP'] === '1') console.log(`kept: ${this.directory}`);
    else {
      for (const made of [this.directory, this.data]) fs.rmSync(made, { recursive: true, force: true });
    }
  }
}
