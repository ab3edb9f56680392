import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { until } from '../support/until.ts';
import { Workbench } from '../support/workbench.ts';

type Report = {
  found: number;
  repaired: number;
  damaged: number;
  folders: { extras: string[]; damaged: number }[];
};
type Status = {
  scrub: { coveredAt: string | null; damaged: number };
  alarms: { code: string; message: string }[];
};

const mebibyte = 1024 * 1024;
let bench: Workbench;

beforeEach(async () => {
  const passphrase = path.join(temporaryDirectory(), 'passphrase');
  fs.writeFileSync(passphrase, 'eight words that nobody else ever put together\n', { mode: 0o600 });
  bench = await Workbench.create('scrub', { agentInit: ['--passphrase-file', passphrase] });
  fs.writeFileSync(path.join(bench.source, 'small'), 'a small file');
  fs.writeFileSync(path.join(bench.source, 'gone'), 'a file that vanishes');
  fs.writeFileSync(path.join(bench.source, 'large'), Buffer.alloc(3 * mebibyte, 'large '));
  const sealed = ['--kind', 'sealed', '--schedule', '0 0 1 1 *', '--path', path.join(bench.source, 'small')];
  await bench.agent.must(['folder', 'add', 'secrets', ...sealed]);
  await bench.startPaired();
  await bench.settled();
  await bench.agent.must(['dump', 'secrets', '--wait-copies', '1']);
});
afterEach(async () => bench.dispose());

async function scrub(args: string[] = []): Promise<{ code: number | null; report: Report }> {
  const { code, stdout } = await bench.receiver.run(['scrub', '--json', ...args]);
  return { code, report: JSON.parse(stdout) as Report };
}

const status = async (): Promise<Status> => (await bench.receiver.status()) as unknown as Status;

it('repairs what is damaged from the server, tells of what it cannot repair, and seals a lost pack anew', async () => {
  expect(await scrub()).toMatchObject({ code: 0, report: { found: 0, damaged: 0, folders: [] } });
  expect((await status()).scrub.coveredAt).not.toBeNull();

  fs.writeFileSync(path.join(bench.current, 'small'), 'A small file');
  fs.rmSync(path.join(bench.current, 'gone'));
  const fd = fs.openSync(path.join(bench.current, 'large'), 'r+');
  fs.writeSync(fd, 'X', 2 * mebibyte);
  fs.closeSync(fd);
  expect(await scrub(['--all'])).toMatchObject({ code: 0, report: { found: 3, repaired: 3, damaged: 0 } });
  for (const name of ['small', 'gone', 'large'])
    expect(
      fs.readFileSync(path.join(bench.current, name)).equals(fs.readFileSync(path.join(bench.source, name))),
    ).toBe(true);
  expect((await status()).alarms).toEqual([]);

  const packs = path.join(bench.data, bench.agentId, 'secrets', 'packs');
  const [pack] = fs.readdirSync(packs);
  if (pack === undefined) throw new Error('no pack');
  fs.truncateSync(path.join(packs, pack), 100);
  fs.writeFileSync(path.join(bench.current, 'stranger'), 'mine');
  expect(await scrub(['--all'])).toMatchObject({ code: 1, report: { found: 1, repaired: 0, damaged: 1 } });
  const told = await status();
  expect(told.scrub.damaged).toBe(1);
  expect(told.alarms.map(({ code }) => code).sort()).toEqual(['COPY_DAMAGED', 'FILE_UNKNOWN']);
  fs.writeFileSync(path.join(bench.source, 'new'), 'so that something is committed');
  await bench.settled();
  await until('a whole version', async () => {
    await bench.agent.must(['dump', 'secrets', '--wait-copies', '1']);
    const listed = JSON.parse(await bench.receiver.must(['versions', 'secrets', '--json'])) as {
      versions: { complete: boolean }[];
    };
    return listed.versions[0]?.complete === true && listed.versions.at(-1)?.complete === false;
  });

  expect(await bench.receiver.stop()).toBe(0);
  const offline = await bench.receiver.run(['scrub', '--all']);
  expect(offline).toMatchObject({ code: 1, stdout: expect.stringContaining('1 damaged') as string });
  expect(offline.stdout).toContain('current/stranger');
});
