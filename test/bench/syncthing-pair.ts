import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { freePort } from '../support/link-proxy.ts';
import { until } from '../support/until.ts';
import type { MediaRun } from './media-columns.ts';
import type { MediaInput } from './media-input.ts';
import { ProcessMeter } from './process-meter.ts';

type Side = { home: string; folder: string; id: string; port: number; gui: number; kind: string };

const [apiKey, marker, longMs] = ['bench', '.stfolder', 7_200_000];
const running = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * The first copy from one Syncthing to another on loopback: a send-only and a receive-only folder, no discovery, otherwise its
 * defaults. From the start of both until the second has all files. Its marker lies in the source meanwhile.
 */
export async function copyWithSyncthing({ root, files }: MediaInput, directory: string): Promise<MediaRun> {
  const copy = path.join(directory, 'copy');
  fs.mkdirSync(copy);
  for (const folder of [root, copy]) fs.mkdirSync(path.join(folder, marker), { recursive: true });
  const from = await makeSide(directory, 'from', root);
  const to = await makeSide(directory, 'to', copy);
  for (const side of [from, to])
    fs.writeFileSync(path.join(side.home, 'config.xml'), configOf(side, [from, to]));
  const startedAt = performance.now();
  const children = [from, to].map(start);
  const meters = children.map((child) => new ProcessMeter(child.pid ?? 0));
  try {
    await until('syncthing has all files', async () => hasAll(to, files), {
      timeoutMs: longMs,
      everyMs: 250,
    });
    const wallMs = performance.now() - startedAt;
    const [sender, receiver] = meters.map((meter) => meter.read());
    return { wallMs, command: null, daemons: { sender: sender ?? null, receiver: receiver ?? null } };
  } finally {
    for (const child of children) await end(child);
    for (const folder of [root, copy]) fs.rmSync(path.join(folder, marker), { recursive: true, force: true });
  }
}

async function makeSide(directory: string, kind: string, folder: string): Promise<Side> {
  const home = path.join(directory, `syncthing-${kind}`);
  execFileSync('syncthing', ['generate', `--home=${home}`], { stdio: 'ignore' });
  const id = execFileSync('syncthing', [`--home=${home}`, '--device-id'], { encoding: 'utf8' }).trim();
  return { home, folder, id, port: await freePort(), gui: await freePort(), kind };
}

function configOf(side: Side, both: readonly Side[]): string {
  const type = side.kind === 'from' ? 'sendonly' : 'receiveonly';
  const members = both.map(({ id }) => `<device id="${id}"></device>`).join('');
  const devices = both.map(
    ({ id, kind, port }) =>
      `<device id="${id}" name="${kind}"><address>tcp://127.0.0.1:${port}</address></device>`,
  );
  const off = [
    'globalAnnounceEnabled',
    'localAnnounceEnabled',
    'relaysEnabled',
    'natEnabled',
    'startBrowser',
  ];
  return `<configuration version="35">
  <folder id="media" path="${side.folder}" type="${type}" fsWatcherEnabled="true">${members}</folder>
  ${devices.join('')}
  <gui enabled="true" tls="false"><address>127.0.0.1:${side.gui}</address><apikey>${apiKey}</apikey></gui>
  <options><listenAddress>tcp://127.0.0.1:${side.port}</listenAddress>
    ${off.map((name) => `<${name}>false</${name}>`).join('')}
    <reconnectionIntervalS>1</reconnectionIntervalS><urAccepted>-1</urAccepted>
    <autoUpgradeIntervalH>0</autoUpgradeIntervalH><crashReportingEnabled>false</crashReportingEnabled>
  </options>
</configuration>
`;
}

/** Without the process that watches over it, whose children would not be counted. */
function start({ home }: Side): ChildProcess {
  const child = spawn('syncthing', ['serve', `--home=${home}`, '--no-browser'], {
    stdio: 'ignore',
    env: { ...process.env, STMONITORED: 'yes' },
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (!running.has(child)) return;
  child.kill();
  await once(child, 'exit');
}

async function hasAll({ gui }: Side, files: number): Promise<boolean> {
  try {
    const answer = await fetch(`http://127.0.0.1:${gui}/rest/db/status?folder=media`, {
      headers: { 'X-API-Key': apiKey },
    });
    const status = (await answer.json()) as { localFiles?: number; state?: string; needBytes?: number };
    return status.localFiles === files && status.needBytes === 0 && status.state === 'idle';
  } catch {
    // it is starting
    return false;
  }
}
