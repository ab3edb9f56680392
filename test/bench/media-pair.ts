import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { remoteAgentCommands } from '../../agent/agent-commands.ts';
import { callControl } from '../../shared/io/control-client.ts';
import { homeAt } from '../../shared/io/home.ts';
import {
  currentDirectory,
  Device,
  type Agent,
  type Receiver,
  type ReceiverStatus,
} from '../support/device.ts';
import { formatEndpoint, freePort } from '../support/link-proxy.ts';
import { until } from '../support/until.ts';
import { compilePrograms } from './compile-programs.ts';
import { makeReceiverListen } from './listening-receiver.ts';
import { measureProcess, type Measured } from './measured-process.ts';
import type { MediaInput } from './media-input.ts';
import { ProcessMeter } from './process-meter.ts';

export type Daemon = { cpuMs: number; peakBytes: number };
export type PairMeasured = { wallMs: number; agent: Daemon; receiver: Daemon };

const longMs = 7_200_000;
/** As in the units of README.md. */
const environment = {
  MALLOC_ARENA_MAX: '2',
  NODE_COMPILE_CACHE: path.join(os.tmpdir(), 'mastokeep-bench-compiled'),
};
const checkout = path.resolve(import.meta.dirname, '../..');

/** An agent and a receiver as they are installed, paired, without a folder; set up and run by the commands that a user types. */
export class MediaPair {
  readonly agent: Agent;
  readonly receiver: Receiver;
  readonly #directory: string;
  #agentId = '';

  private constructor(directory: string) {
    this.#directory = directory;
    this.agent = new Device('agent', path.join(directory, 'agent-home'));
    this.receiver = new Device('receiver', path.join(directory, 'receiver-home'));
    for (const device of [this.agent, this.receiver]) {
      device.env = environment;
      device.compiled = true;
    }
  }

  static async start(directory: string): Promise<MediaPair> {
    compilePrograms();
    fs.mkdirSync(directory);
    const pair = new MediaPair(directory);
    const { agent, receiver } = pair;
    const listen = formatEndpoint({ host: '127.0.0.1', port: await freePort() });
    await Promise.all([
      agent.must(['init', '--yes', '--listen', listen, '--advertise', listen]),
      receiver.must(['init', '--yes', '--data', path.join(directory, 'data')]),
    ]);
    await Promise.all([agent.start(), receiver.start()]);
    await receiver.must(['join', await agent.invite()]);
    pair.#agentId = await agent.id();
    return pair;
  }

  /** The plain tree on the receiver. */
  get current(): string {
    return currentDirectory(path.join(this.#directory, 'data'), this.#agentId);
  }

  /** From the command that adds the folder on, until all files are durable on the receiver; its start is counted. */
  async copy({ root, files }: MediaInput): Promise<PairMeasured> {
    const [agent, receiver] = [this.#meter(this.agent), this.#meter(this.receiver)];
    const startedAt = performance.now();
    await this.agent.must(['folder', 'add', 'media', '--kind', 'mirror', '--path', root]);
    const home = homeAt(this.receiver.home, 'receiver.yaml');
    await until(
      'all files are durable',
      async () => {
        const status = (await callControl(home, 'status', {})) as ReceiverStatus;
        const folders = status.agents.flatMap((one) => one.folders);
        return folders.some((folder) => folder.id === 'media' && folder.files >= files);
      },
      { timeoutMs: longMs, everyMs: 100, explain: () => this.receiver.daemon.report() },
    );
    const wallMs = performance.now() - startedAt;
    return { wallMs, agent: agent.read(), receiver: receiver.read() };
  }

  /** The same without a program being started meanwhile, which would cost more than little, and without figures. */
  async copyQuietly(root: string): Promise<void> {
    const commands = remoteAgentCommands(homeAt(this.agent.home, 'agent.yaml'));
    await commands.addFolder({ folder: { id: 'media', kind: 'mirror', path: root, ignore: [] } });
    await commands.wait({ copies: 1, timeoutMs: longMs });
  }

  /** Waits until a full scan begun now has ended and all that it found is durable. */
  async settle(): Promise<void> {
    await this.agent.must(['wait', '--timeout', String(longMs / 1000)], { timeoutMs: longMs });
  }

  /** A full scan that finds nothing; `wallMs`: of the scan itself, as the agent's log says. */
  async scan(): Promise<PairMeasured> {
    const [agent, receiver] = [this.#meter(this.agent), this.#meter(this.receiver)];
    await this.agent.must(['scan', 'media'], { timeoutMs: longMs });
    const lines = this.agent.daemon.stderr.split('\n').filter((line) => line.includes('"full scan done"'));
    const { durationMs, changed } = JSON.parse(lines.at(-1) ?? '') as { durationMs: number; changed: number };
    if (changed > 0) throw new Error(`a scan of what did not change found ${changed} changes`);
    return { wallMs: durationMs, agent: agent.read(), receiver: receiver.read() };
  }

  /** What a look at the directories that changed last takes of the agent's CPU time, ms: of several, one a second. */
  async lookAtRecent(looks: number): Promise<number> {
    const file = path.join(this.agent.home, 'agent.yaml');
    const config = fs.readFileSync(file, 'utf8');
    await this.agent.stop();
    fs.writeFileSync(file, config.replace(/^( *recentEvery:) .*$/m, '$1 1s'));
    await this.agent.start();
    await this.settle();
    const meter = this.#meter(this.agent);
    await delay(looks * 1000);
    const { cpuMs } = meter.read();
    await this.agent.stop();
    fs.writeFileSync(file, config);
    await this.agent.start();
    return cpuMs / looks;
  }

  /** Restores the folder as on a server that has nothing yet, to `to`/media. `took`: the command. */
  async restore(to: string): Promise<{ took: Measured; receiver: Daemon }> {
    await makeReceiverListen(this.receiver);
    const invitation = await this.receiver.invite(['--role', 'restore']);
    const home = path.join(this.#directory, 'restore-home');
    fs.rmSync(home, { recursive: true, force: true });
    const program = [process.execPath, path.join(checkout, 'dist', 'agent', 'main.js'), '--home', home];
    const what = ['--from', invitation, '--agent', this.#agentId, '--folder', 'media', '--to', to];
    const meter = this.#meter(this.receiver);
    const took = await measureProcess([...program, 'restore', ...what], { env: environment });
    return { took, receiver: meter.read() };
  }

  #meter(device: Agent | Receiver): ProcessMeter {
    return new ProcessMeter(device.daemon.pid);
  }

  async stop(): Promise<void> {
    for (const device of [this.agent, this.receiver]) if (device.isRunning) await device.stop();
  }
}
