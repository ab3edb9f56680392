import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { generateKeyPair } from '../../shared/sealing/key-pair.ts';
import { loadRecipients } from '../../shared/sealing/recipient.ts';
import { openKeyUnsealer, type Unsealer } from '../../shared/sealing/unsealer.ts';
import { ifThere } from '../support/if-there.ts';
import { readVersion } from '../support/sealed-bench.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { listFiles } from '../support/tree-compare.ts';
import { until } from '../support/until.ts';
import { Workbench } from '../support/workbench.ts';

const mib = 1024 * 1024;
const marker = 'a secret word of the dump';

type DumpOutput = { versions: { number: number; plainBytes: number; newBytes: number }[] };

let bench: Workbench;
let unsealer: Unsealer;
let dumpFile: string;

beforeEach(async () => {
  bench = await Workbench.create('seal-kill');
  const pair = await generateKeyPair({ name: 'owner', email: 'owner@example.org' }, 'secret');
  await loadRecipients([{ name: 'owner', content: pair.publicArmored }]);
  unsealer = await openKeyUnsealer(pair.privateArmored, 'secret');
  const keyFile = path.join(bench.directory, 'owner.asc');
  fs.writeFileSync(keyFile, pair.publicArmored);
  dumpFile = path.join(bench.directory, 'dump');
  await bench.agent.must(['recipient', 'add', keyFile]);
});
afterEach(async () => {
  await bench.dispose();
});

const addFolder = async (command: string) =>
  bench.agent.must(['folder', 'add', 'database', '--kind', 'sealed', '--command', command]);
const spool = (part: string): string[] => {
  const directory = path.join(bench.agent.home, 'spool', 'database', part);
  return fs.existsSync(directory) ? fs.readdirSync(directory).filter((name) => !name.endsWith('.tmp')) : [];
};

/** Every file below a directory that holds the text, as it is. */
function filesWith(directory: string, text: string): string[] {
  return listFiles(directory)
    .map((file) => file.path)
    .filter((name) => ifThere(() => fs.readFileSync(path.join(directory, name)))?.includes(text));
}

async function readLatest() {
  const copy = path.join(bench.data, bench.agentId, 'database');
  const files = new Map<string, Buffer>();
  for (const part of ['packs', 'versions']) {
    for (const name of fs.readdirSync(path.join(copy, part))) {
      files.set(`${part}/${name}`, fs.readFileSync(path.join(copy, part, name)));
    }
  }
  const names = [...files.keys()].filter((name) => name.endsWith('.json')).sort();
  const agentKeyPem = fs.readFileSync(path.join(bench.agent.home, 'identity', 'key.pem'), 'utf8');
  return readVersion(files, names.at(-1) as string, { unsealer, agentKeyPem, folder: 'database' });
}

it('sends only the rest after the agent was killed in the middle of a dump, and no version is lost or half there', async () => {
  const content = seededBytes('kill', 80 * mib);
  fs.writeFileSync(dumpFile, content);
  const slow = path.join(bench.directory, 'slow');
  fs.writeFileSync(slow, '');
  // as long as the file is there, the dump stops before its end
  await addFolder(
    `head -c ${70 * mib} ${dumpFile}; while [ -e ${slow} ]; do sleep 0.1; done; tail -c +${70 * mib + 1} ${dumpFile}`,
  );
  await bench.startPaired();
  const dumping = bench.agent.begin(['dump']);
  await until(
    'most packs are sealed and on the receiver',
    () => {
      const held = path.join(bench.data, bench.agentId, 'database', 'packs');
      return fs.existsSync(held) && fs.readdirSync(held).length >= 12;
    },
    { explain: () => bench.report() },
  );
  await bench.agent.kill();
  await dumping.exited;
  expect(spool('versions')).toEqual([]);
  fs.rmSync(slow);

  await bench.agent.start();
  const done = JSON.parse(
    await bench.agent.must(['dump', '--wait-copies', '1', '--timeout', '600', '--json'], {
      timeoutMs: 660_000,
    }),
  ) as DumpOutput;
  expect(done.versions[0]).toMatchObject({ number: 1, plainBytes: content.length });
  expect(done.versions[0]?.newBytes).toBeLessThan(content.length - 40 * mib);
  const version = await readLatest();
  expect(version.files.get('output')?.equals(content)).toBe(true);
});

it('leaves nothing of the dump in clear on the server or the receiver', async () => {
  const line = `${marker} ${'x'.repeat(40)}\n`;
  const text = Buffer.from(line.repeat(200));
  const parts = Array.from({ length: 24 }, (_, part) =>
    Buffer.concat([seededBytes(`part ${part}`, 8 * mib), text]),
  );
  fs.writeFileSync(dumpFile, Buffer.concat(parts));
  await addFolder(`cat ${dumpFile}`);
  await bench.startPaired();
  const watch = setInterval(() => {
    expect(filesWith(bench.agent.home, marker)).toEqual([]);
  }, 500);
  try {
    await bench.agent.must(['dump', '--wait-copies', '1', '--timeout', '600'], { timeoutMs: 660_000 });
  } finally {
    clearInterval(watch);
  }
  expect(filesWith(bench.agent.home, marker)).toEqual([]);
  expect(filesWith(bench.data, marker)).toEqual([]);
  for (const directory of [bench.agent.home, bench.data]) {
    expect(filesWith(directory, 'BEGIN PGP PRIVATE KEY')).toEqual([]);
  }
  expect((await readLatest()).files.get('output')?.includes(marker)).toBe(true);
  // everything is on the receiver: nothing waits any more
  await until('the spool is empty', () => spool('packs').length === 0 && spool('versions').length === 0);
});

it('says why a dump failed, with the last words of the command, and ends with exit code 1; 4 when copies do not come', async () => {
  await addFolder('echo half a dump; echo the disk is on fire >&2; exit 7');
  await bench.agent.start();
  const failed = await bench.agent.run(['dump', 'database']);
  expect(failed).toMatchObject({ code: 1 });
  expect(failed.stderr).toContain('the disk is on fire');
  const { alarms } = await bench.agent.status();
  expect(alarms).toContainEqual(expect.objectContaining({ code: 'DUMP_FAILED' }));
  expect(alarms.find(({ code }) => code === 'DUMP_FAILED')?.message).toContain('the disk is on fire');
  expect(spool('versions')).toEqual([]);

  await bench.agent.must(['folder', 'add', 'words', '--kind', 'sealed', '--command', 'echo hello']);
  const waited = await bench.agent.run(['dump', 'words', '--wait-copies', '1', '--timeout', '2']);
  expect(waited).toMatchObject({ code: 4 });
  expect(waited.stderr).toContain('TIMED_OUT');
  const status = await bench.agent.status();
  expect(status.folders.find(({ id }) => id === 'words')).toMatchObject({ kind: 'sealed' });
  expect(status).toMatchObject({ spoolBytes: expect.any(Number) as number });
  expect(await bench.agent.run(['dump', 'nowhere'])).toMatchObject({ code: 2 });
});
