import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Device, type Agent, type AgentStatus, type Receiver } from '../support/device.ts';
import { generateKeyPair } from '../../shared/sealing/key-pair.ts';
import { formatEndpoint, freePort } from '../support/link-proxy.ts';
import { mustRun } from '../support/program.ts';
import { DemoError } from './demo-error.ts';
import type { Narrator } from './narrator.ts';

const waitTimeoutS = 24 * 3600;

/** The two machines of the walk-through, as directories, and what happens between them, told while it happens. */
export class Stage {
  readonly directory: string;
  readonly media: string;
  readonly agent: Agent;
  readonly receiver: Receiver;
  readonly startedAt = Date.now();
  readonly #narrator: Narrator;
  #agentId: string | null = null;
  #ownerKey: { file: string; passphraseFile: string } | null = null;

  constructor(directory: string, media: string, narrator: Narrator) {
    this.directory = directory;
    this.media = media;
    this.agent = new Device('agent', path.join(directory, 'server', 'agent-home'));
    this.receiver = new Device('receiver', path.join(directory, 'nas', 'receiver-home'));
    this.#narrator = narrator;
  }

  get data(): string {
    return path.join(this.directory, 'nas', 'data');
  }

  /** Sets both up, each with a home of its own, and starts them as processes of their own. */
  async open(): Promise<void> {
    fs.mkdirSync(path.dirname(this.agent.home), { recursive: true });
    fs.mkdirSync(path.dirname(this.receiver.home), { recursive: true });
    const [agentPort, receiverPort] = [await freePort(), await freePort()];
    const listen = formatEndpoint({ host: '127.0.0.1', port: agentPort });
    await this.#tell(this.agent, 'init', '--yes', '--listen', listen, '--advertise', listen);
    const folder = ['media', '--kind', 'mirror', '--path', this.media, '--ignore', '/cache/'];
    await this.#tell(this.agent, 'folder', 'add', ...folder);
    const receiverListen = formatEndpoint({ host: '127.0.0.1', port: receiverPort });
    await this.#tell(this.receiver, 'init', '--yes', '--data', this.data, '--listen', receiverListen);
    this.#narrator.command('mastokeep-agent run &');
    this.#narrator.command('mastokeep-receiver run &');
    await Promise.all([this.agent.start(), this.receiver.start()]);
    this.#narrator.good(
      `two processes: agent ${this.agent.daemon.pid}, receiver ${this.receiver.daemon.pid}`,
    );
  }

  /**
   * Adds a sealed folder of what is in `dumpFile`, sealed to a key pair that is made where its owner sits: the server
   * gets the public part only.
   */
  async addDatabase(dumpFile: string): Promise<void> {
    const owner = path.join(this.directory, 'owner');
    const passphrase = 'correct horse battery staple';
    const { publicArmored, privateArmored } = await generateKeyPair({ name: 'The admin' }, passphrase);
    fs.mkdirSync(owner);
    const publicKey = path.join(owner, 'public.asc');
    fs.writeFileSync(publicKey, publicArmored);
    this.#ownerKey = {
      file: path.join(owner, 'private.asc'),
      passphraseFile: path.join(owner, 'passphrase'),
    };
    fs.writeFileSync(this.#ownerKey.file, privateArmored, { mode: 0o600 });
    fs.writeFileSync(this.#ownerKey.passphraseFile, `${passphrase}\n`, { mode: 0o600 });
    await this.#tell(this.agent, 'recipient', 'add', publicKey);
    const folder = ['database', '--kind', 'sealed', '--command', `cat '${dumpFile}'`];
    await this.#tell(this.agent, 'folder', 'add', ...folder);
  }

  /** Seals what is in the database now and waits until it is durable on the receiver. */
  async dump(): Promise<void> {
    const args = ['dump', '--wait-copies', '1'];
    this.#narrator.command(`mastokeep-agent ${args.join(' ')}`);
    this.#narrator.output(await this.agent.must(args));
  }

  /** What `restore` needs for sealed folders. */
  keyOptions(): string[] {
    if (this.#ownerKey === null) return [];
    return ['--key', this.#ownerKey.file, '--key-passphrase-file', this.#ownerKey.passphraseFile];
  }

  /** Prints the versions of the database, as the receiver's owner would look at them. */
  async showDumps(): Promise<void> {
    this.#narrator.command('mastokeep-receiver versions database');
    this.#narrator.output(await this.receiver.must(['versions', 'database']));
  }

  /** One line on each side. */
  async pair(): Promise<void> {
    this.#narrator.command('mastokeep-agent invite');
    const invitation = await this.agent.invite();
    this.#narrator.output(shorten(invitation));
    this.#narrator.command('mastokeep-receiver join INVITATION');
    await this.receiver.must(['join', invitation]);
    this.#narrator.good('paired; each side knows the other by its key');
  }

  /** Waits until everything found by a scan begun now is durable on the receiver, and shows how far it is. */
  async copy(): Promise<AgentStatus> {
    this.#narrator.command('mastokeep-agent wait');
    const wait = this.agent.begin(['wait', '--copies', '1', '--timeout', String(waitTimeoutS)]);
    while (wait.exitCode === null) {
      const asked = await this.agent.run(['status', '--json']);
      if (asked.code === 0) this.#show(JSON.parse(asked.stdout) as AgentStatus);
      await Promise.race([wait.exited, delay(500)]);
    }
    if (wait.exitCode !== 0) {
      const reports = [wait, this.agent.daemon, this.receiver.daemon].map((program) => program.report());
      throw new DemoError('the copy did not finish', reports.join('\n'), 1);
    }
    const status = await this.agent.status();
    this.#show(status);
    return status;
  }

  /** Prints the versions of one path, as the receiver's owner would look at them. */
  async showVersions(file: string): Promise<void> {
    this.#narrator.command(`mastokeep-receiver versions media ${file}`);
    this.#narrator.output(await this.receiver.must(['versions', 'media', file]));
  }

  /** Kills the agent and removes the server with all that it had. */
  async loseServer(): Promise<void> {
    this.#agentId = await this.agent.id();
    await this.agent.kill();
    const server = path.dirname(this.agent.home);
    this.#narrator.command(`kill -9 ${this.agent.daemon.pid}; rm -rf ${server}`);
    fs.rmSync(server, { recursive: true });
  }

  /** Takes back what `args` say into `target`, as a new server that was never initialised. `name` is for its home. */
  async restore(target: string, name: string, args: readonly string[] = []): Promise<void> {
    this.#agentId ??= await this.agent.id();
    this.#narrator.command('mastokeep-receiver invite --role restore');
    const invitation = await this.receiver.invite(['--role', 'restore', '--agent', this.#agentId]);
    this.#narrator.output(shorten(invitation));
    this.#narrator.command(
      `mastokeep-agent restore --from INVITATION --to ${target} ${args.join(' ')}`.trimEnd(),
    );
    const home = path.join(this.directory, `restore-home-${name}`);
    const restoreArgs = ['--home', home, 'restore', '--from', invitation, '--to', target, ...args];
    const { stdout } = await mustRun('agent', restoreArgs, {
      timeoutMs: waitTimeoutS * 1000,
      showStderr: process.stderr.isTTY,
    });
    if (stdout.trim() !== '') this.#narrator.output(stdout.trim().split('\n').slice(-8).join('\n'));
  }

  /** Ends what runs, the ordinary way. */
  async close(): Promise<void> {
    await Promise.all(
      [this.agent, this.receiver].map(async (device) => {
        if (device.isRunning) await device.stop();
      }),
    );
  }

  #show(status: AgentStatus): void {
    const folder = status.folders.find(({ id }) => id === 'media');
    const copied = status.receivers[0]?.folders.find(({ id }) => id === 'media');
    if (folder === undefined) return;
    const [lagFiles, lagBytes] =
      copied === undefined ? [folder.files, folder.bytes] : [copied.lagFiles, copied.lagBytes];
    this.#narrator.progress({
      doneFiles: Math.max(folder.files - lagFiles, 0),
      totalFiles: folder.files,
      doneBytes: Math.max(folder.bytes - lagBytes, 0),
      totalBytes: folder.bytes,
    });
  }

  async #tell(device: Agent | Receiver, ...args: string[]): Promise<void> {
    this.#narrator.command(`mastokeep-${device.kind} ${args.join(' ')}`);
    await device.must(args);
  }
}

function shorten(text: string): string {
  return text.length <= 88 ? text : `${text.slice(0, 60)} … ${text.slice(-16)}`;
}
