import fs from 'node:fs';
import path from 'node:path';
import { generateKeyPair } from '../../shared/sealing/key-pair.ts';
import { currentDirectory, Device, type Agent, type Receiver } from '../support/device.ts';
import { formatEndpoint, freePort, LinkProxy } from '../support/link-proxy.ts';
import { compilePrograms } from './compile-programs.ts';
import { directoryBytes } from './dump-store.ts';
import { makeReceiverListen } from './listening-receiver.ts';
import { measureProcess, type Measured } from './measured-process.ts';
import { ProcessMeter } from './process-meter.ts';

type SealedFolderPlan = { id: string; source: readonly string[] };

type Daemon = { cpuMs: number; peakBytes: number };
/** One `dump`. `wallMs`: until the agent has the version; `durableMs`: until the command ends, where it waits for a copy when that is durable. */
export type DumpMeasured = {
  wallMs: number;
  durableMs: number;
  agent: Daemon;
  receiver: Daemon;
  linkBytes: number;
};

const passphrase = 'bench';
/** A Monday that is the 29th of February: the benchmark says when a dump is made. */
const neverSchedule = '0 0 29 2 1';
const longMs = 3_700_000;
const checkout = path.resolve(import.meta.dirname, '../..');

/**
 * An agent with sealed folders (and mirror folders, where they are added) and a receiver that is paired with it, set up and
 * run by the commands that a user types. With `countLink` the link goes through a proxy that counts its bytes, which costs
 * some CPU time of its own. `compiled`: what `tsc -b` made runs, as it is installed.
 */
export class SealedPair {
  readonly agent: Agent;
  readonly receiver: Receiver;
  readonly #directory: string;
  #proxy: LinkProxy | null = null;
  #agentId = '';

  private constructor(directory: string) {
    this.#directory = directory;
    this.agent = new Device('agent', path.join(directory, 'agent-home'));
    this.receiver = new Device('receiver', path.join(directory, 'receiver-home'));
  }

  static async start(
    directory: string,
    folders: readonly SealedFolderPlan[],
    { countLink, compiled = true }: { countLink: boolean; compiled?: boolean },
  ): Promise<SealedPair> {
    fs.mkdirSync(directory);
    const pair = new SealedPair(directory);
    if (compiled) {
      compilePrograms();
      for (const device of [pair.agent, pair.receiver]) device.compiled = true;
    }
    // As in the units of README.md.
    const cache = process.env['NODE_COMPILE_CACHE'] ?? path.join(directory, 'compiled');
    const env = { NODE_COMPILE_CACHE: cache, MALLOC_ARENA_MAX: '2' };
    for (const device of [pair.agent, pair.receiver]) device.env = env;
    await pair.#setUp(folders, countLink);
    await Promise.all([pair.agent.start(), pair.receiver.start()]);
    await pair.receiver.must(['join', await pair.agent.invite()]);
    return pair;
  }

  async #setUp(folders: readonly SealedFolderPlan[], countLink: boolean): Promise<void> {
    const key = await generateKeyPair({ name: 'Bench', email: 'bench@example.org' }, passphrase);
    fs.writeFileSync(path.join(this.#directory, 'public.asc'), key.publicArmored);
    fs.writeFileSync(path.join(this.#directory, 'private.asc'), key.privateArmored, { mode: 0o600 });
    fs.writeFileSync(path.join(this.#directory, 'passphrase'), passphrase, { mode: 0o600 });
    const listen = { host: '127.0.0.1', port: await freePort() };
    if (countLink) this.#proxy = await LinkProxy.start(listen);
    const advertised = formatEndpoint(this.#proxy?.endpoint ?? listen);
    const data = path.join(this.#directory, 'data');
    await Promise.all([
      this.#setUpAgent(folders, ['--listen', formatEndpoint(listen), '--advertise', advertised]),
      this.receiver.must(['init', '--yes', '--data', data]),
    ]);
  }

  async #setUpAgent(folders: readonly SealedFolderPlan[], addresses: readonly string[]): Promise<void> {
    const recipient = ['--recipient', path.join(this.#directory, 'public.asc')];
    await this.agent.must(['init', '--yes', ...recipient, ...addresses]);
    for (const { id, source } of folders) {
      const kind = ['--kind', 'sealed', '--schedule', neverSchedule];
      await this.agent.must(['folder', 'add', id, ...kind, ...source]);
    }
    this.#agentId = await this.agent.id();
  }

  /**
   * Makes a version; `linkBytes` are those of both directions until it is durable on the receiver, 0 where not counted.
   * Counts nothing behind a restore.
   */
  async dump(folder: string): Promise<DumpMeasured> {
    const receiver = new ProcessMeter(this.receiver.daemon.pid);
    const linkBytes = this.#proxy?.total ?? 0;
    const took = await this.#dump([folder, '--wait-copies', '1']);
    return { ...took, receiver: receiver.read(), linkBytes: (this.#proxy?.total ?? 0) - linkBytes };
  }

  /** Makes a version while no receiver runs on the same processors: it stays on the agent's disk. */
  async dumpAlone(folder: string): Promise<DumpMeasured> {
    await this.receiver.stop();
    const took = await this.#dump([folder]);
    return { ...took, receiver: { cpuMs: 0, peakBytes: 0 }, linkBytes: 0 };
  }

  async #dump(args: readonly string[]): Promise<Pick<DumpMeasured, 'wallMs' | 'durableMs' | 'agent'>> {
    const agent = new ProcessMeter(this.agent.daemon.pid);
    const startedAt = performance.now();
    const said = JSON.parse(await this.agent.must(['dump', ...args, '--json'], { timeoutMs: longMs })) as {
      versions: { durationMs: number }[];
    };
    const durableMs = performance.now() - startedAt;
    const wallMs = said.versions[0]?.durationMs;
    if (wallMs === undefined) throw new Error(`no version was made by dump ${args.join(' ')}`);
    return { wallMs, durableMs, agent: agent.read() };
  }

  /** The device ID of the agent. */
  get agentId(): string {
    return this.#agentId;
  }

  /** What has passed the link in both directions; 0 where it is not counted. */
  get linkBytes(): number {
    return this.#proxy?.total ?? 0;
  }

  /** Cuts the link, which comes back by itself; only where it is counted. */
  cutLink(): void {
    this.#proxy?.cut();
  }

  /** Adds a mirror folder; resolves when all of it is durable on the receiver. */
  async addMirror(folder: string, root: string): Promise<void> {
    await this.agent.must(['folder', 'add', folder, '--kind', 'mirror', '--path', root]);
    await this.agent.must(['wait', '--timeout', String(longMs / 1000)], { timeoutMs: longMs });
  }

  /** The receiver's database of a mirror folder: its rows are committed behind everything else that makes a batch durable. */
  mirrorDatabase(folder: string): string {
    return path.join(this.receiver.home, 'db', this.#agentId, `${folder}.db`);
  }

  /** Where the receiver has the plain copy of a mirror folder. */
  currentDirectory(folder: string): string {
    return currentDirectory(path.join(this.#directory, 'data'), this.#agentId, folder);
  }

  /** Of all that the receiver keeps of the folder. */
  bytesAtRest(folder: string): number {
    return directoryBytes(path.join(this.#directory, 'data', this.#agentId, folder));
  }

  /**
   * Restores the latest version of the folder as on a server that has nothing yet; `where`: `--to` or `--pg-restore`.
   * `took` is the command alone, `receiver` what it cost on the other side.
   */
  async restore(folder: string, where: readonly string[]): Promise<{ took: Measured; receiver: Daemon }> {
    await makeReceiverListen(this.receiver);
    const invitation = await this.receiver.invite(['--role', 'restore']);
    const home = path.join(this.#directory, 'restore-home');
    fs.rmSync(home, { recursive: true, force: true });
    const key = ['--key', path.join(this.#directory, 'private.asc')];
    const keyPassphrase = ['--key-passphrase-file', path.join(this.#directory, 'passphrase')];
    const what = ['--from', invitation, '--agent', this.#agentId, '--folder', folder];
    const entry = this.agent.compiled ? 'dist/agent/main.js' : 'agent/main.ts';
    const program = [process.execPath, path.join(checkout, entry), '--home', home];
    const meter = new ProcessMeter(this.receiver.daemon.pid);
    const took = await measureProcess([...program, 'restore', ...what, ...key, ...keyPassphrase, ...where]);
    return { took, receiver: meter.read() };
  }

  async stop(): Promise<void> {
    for (const device of [this.agent, this.receiver]) if (device.isRunning) await device.stop();
    await this.#proxy?.stop();
  }
}
