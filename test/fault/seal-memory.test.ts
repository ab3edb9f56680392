import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { generateKeyPair } from '../../shared/sealing/key-pair.ts';
import { compilePrograms } from '../bench/compile-programs.ts';
import { Workbench } from '../support/workbench.ts';

/*
 * The agent runs as by the unit in README.md from its second start on: few arenas of malloc, and nothing left to compile. The
 * first start strips the types of the sources, which takes some 50 MB more.
 */
const dumpBytes = 600_000_000;
const residentBytesMax = 300_000_000;

let bench: Workbench;

beforeEach(async () => {
  compilePrograms();
  bench = await Workbench.create('seal-memory');
  bench.agent.compiled = true;
  const pair = await generateKeyPair({ name: 'owner', email: 'owner@example.org' }, 'secret');
  const keyFile = path.join(bench.directory, 'owner.asc');
  fs.writeFileSync(keyFile, pair.publicArmored);
  await bench.agent.must(['recipient', 'add', keyFile]);
});
afterEach(async () => {
  await bench.dispose();
});

/** The most that the process ever had resident, threads and all. */
function mostResidentBytes(pid: number): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

it('never has more than 300 MB resident, while a dump of 600 MB that does not compress goes to a receiver and after', async () => {
  const random = `openssl enc -aes-128-ctr -nosalt -K ${'01'.repeat(16)} -iv ${'02'.repeat(16)} </dev/zero`;
  // head ends the pipe early, which the others may call a failure
  const source = path.join(bench.directory, 'source.sh');
  fs.writeFileSync(source, `{ ${random} 2>/dev/null || true; } | head -c ${dumpBytes}\n`);
  await bench.agent.must(['folder', 'add', 'database', '--kind', 'sealed', '--command', `sh ${source}`]);
  await bench.startPaired();
  const pid = Number(fs.readFileSync(path.join(bench.agent.home, 'pid'), 'utf8'));
  const dump = async (): Promise<string> =>
    bench.agent.must(['dump', '--wait-copies', '1', '--timeout', '800', '--json'], { timeoutMs: 850_000 });
  expect(JSON.parse(await dump())).toMatchObject({
    versions: [{ plainBytes: dumpBytes, newBytes: dumpBytes }],
  });
  expect(mostResidentBytes(pid)).toBeLessThan(residentBytesMax);
  // and again, with nothing new
  expect(JSON.parse(await dump())).toMatchObject({ versions: [{ plainBytes: dumpBytes, newBytes: 0 }] });
  expect(mostResidentBytes(pid)).toBeLessThan(residentBytesMax);
});
